"""A Python function that is called with each frame."""
