"""The dashboard: a server on the loopback and its page. Knows frozen snapshots and a few commands."""
