"""Prometheus behind the port of a metric source."""
