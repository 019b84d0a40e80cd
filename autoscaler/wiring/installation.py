"""Puts the parts together that ask an installation what is wrong. The daemon needs none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler import wiring
from autoscaler.adapters.docker.probe import EngineProbe
from autoscaler.adapters.prometheus.probe import PrometheusProbe
from autoscaler.adapters.prometheus.source import PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.doctor.gather import InstallationParts
from autoscaler.doctor.prometheus_facts import PrometheusParts

if TYPE_CHECKING:
    from autoscaler.settings import Settings


def installation_parts(settings: Settings) -> InstallationParts:
    """Return how the installation of *settings* is asked what is wrong; nothing is written. Raise SettingsError."""
    clock, connection = SystemClock(), wiring.connection(settings)
    return InstallationParts(
        EngineProbe(settings.docker_host, clock),
        PrometheusParts(
            PrometheusProbe(connection, clock),
            PrometheusSource(connection, clock),
            wiring.metric_settings(settings),
            clock,
        ),
        lambda: wiring.cycle_for_a_look(settings),
        clock,
    )
