"""Policies as values: what operators write, and which policy applies to a service."""
