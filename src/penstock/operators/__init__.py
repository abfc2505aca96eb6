"""Operators: functions from input deltas and state to output deltas."""
