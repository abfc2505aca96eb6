"""Sources that cannot be replayed, through an embedded topic: read again after a crash."""
