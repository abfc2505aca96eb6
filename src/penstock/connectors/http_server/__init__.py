"""Rows that others send by HTTP: answered once they are durable."""
