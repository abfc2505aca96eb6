"""HTTP asked by us: pages that are polled, events that a server sends, rows that are posted."""
