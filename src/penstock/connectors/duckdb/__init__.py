"""DuckDB; needs the extra ``penstock[duckdb]``."""
