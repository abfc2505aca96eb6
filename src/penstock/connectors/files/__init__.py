"""Folders of files: CSV, NDJSON, Parquet, Arrow IPC, text."""
