"""Files as a sink: CSV, NDJSON, Parquet, Arrow IPC, text; whole or not at all."""
