"""Small helpers that know nothing of scaling: time limits, units, text."""
