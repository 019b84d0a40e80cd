"""Metrics from the query to the window of samples that a rule is shown."""
