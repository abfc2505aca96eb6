"""Benchmarks: the same work streamed in epochs, and as one Polars query, in the same run."""
