"""Frames from Python: lists, iterators and async iterators."""
