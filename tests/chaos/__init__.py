"""Real pipelines over real files, topics and databases, killed again and again while they work.

    lane:  start -> kill -> start -> kill -> ... -> start -> drain -> count
             ^ one process, forked from a server that has imported everything
             | load goes on all the time, from a thread of this process

``python -m tests.chaos`` (or ``make chaos``) runs several lanes side by side until there were
``KILLS`` kills, then counts in every sink which rows are missing and which are there too often,
against what plain Python makes of the input. ``SEED`` repeats the draws of a run.
"""
