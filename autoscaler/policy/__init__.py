"""Policies as values, and the matching of policies to services."""
