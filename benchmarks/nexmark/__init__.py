"""Nexmark: a generator of auctions, people and bids, and its 23 queries in SQL."""
