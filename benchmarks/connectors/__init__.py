"""``make bench-connectors``: what connectors carry, beside the bare client of the system in the same run."""
