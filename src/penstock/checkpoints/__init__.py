"""Checkpoints: what a run goes on from after it ended or crashed.

storage.py, object_storage.py   bytes by path, with a conditional create
manifest.py                     one checkpoint as a value: positions, state, outputs to apply
pieces.py                       frames as checksummed pieces of files
folder_lock.py                  who holds a local folder, and who is next
store.py                        the chain of manifests: claims, fencing, retention, collection
state_files.py, compaction.py   the state of operators as parts, merged as they pile up
matching.py                     which steps of a checkpoint are which steps of a pipeline
changes.py, difference.py       what a changed pipeline keeps, and what it would lose
resetting.py                    one step begins anew
"""
