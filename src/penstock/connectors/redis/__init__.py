"""Reading and writing streams of Redis, and hashes by key."""
