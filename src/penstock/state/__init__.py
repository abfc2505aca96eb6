"""What operators remember: vectorised stores of rows by slot, by key, and many rows per key."""
