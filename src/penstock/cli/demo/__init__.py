"""``penstock demo``: the traffic of a web site, from a growing log file to tables and a live view."""
