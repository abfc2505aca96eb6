"""What ``--help`` says of exit codes."""

EXITS = (
    "Exit codes: 0 done (Ctrl-C too); 1 a query failed while it ran; 2 wrong use or configuration."
)
