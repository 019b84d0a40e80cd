"""Scales Docker Swarm services from Prometheus metrics, by policy, safely."""

from importlib.metadata import version

__version__ = version("swarm-autoscaler")
