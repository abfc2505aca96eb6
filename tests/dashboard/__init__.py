"""The dashboard: server, snapshots, page."""
