"""The runtime: epochs, watermarks, checkpoints, progress."""
