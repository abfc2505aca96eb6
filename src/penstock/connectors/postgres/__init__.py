"""PostgreSQL; needs the extra ``penstock[postgres]``."""
