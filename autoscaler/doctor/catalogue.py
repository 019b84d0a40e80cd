"""All checks, in the order in which they are shown."""

from __future__ import annotations

from autoscaler.doctor import configuration, data, prometheus, running, swarm

CHECKS = (*configuration.CHECKS, *swarm.CHECKS, *prometheus.CHECKS, *data.CHECKS, *running.CHECKS)
