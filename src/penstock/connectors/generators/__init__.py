"""Rows from nothing but a rate or a clock."""
