"""Reading and writing embedded topics."""
