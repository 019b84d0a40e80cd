"""Explanations: why a service has its count, and what would change it. Pure, and made only when somebody asks."""
