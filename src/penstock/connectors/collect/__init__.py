"""Gather everything in memory."""
