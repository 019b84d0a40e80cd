"""Prometheus as a metric source."""
