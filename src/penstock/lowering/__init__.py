"""From plan to operators."""
