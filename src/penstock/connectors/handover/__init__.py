"""History first, then a live source, without a gap or an overlap."""
