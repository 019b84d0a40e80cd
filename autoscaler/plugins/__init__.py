"""Strategies and metric sources of other packages, and the limits that their code runs within."""
