"""The real things on one machine: a Docker engine in swarm mode, cAdvisor and Prometheus, for the end-to-end tests."""

import os

from .cadvisor import PROGRAM, CAdvisor
from .engine import Document, Engine
from .exporter import Exporter, TaskExporter
from .images import load_image, python_base
from .network import Network
from .nodes import Nodes
from .ports import free_port
from .process import INSTALL, Child, LabError, tool, wait_for
from .prometheus import Prometheus, Sample
from .releases import VARIABLE, Release, chosen, selected
from .skew import Skew
from .starvation import starving
from .tap import Tap
from .workload import Load, start_load

__all__ = [
    "VARIABLE",
    "CAdvisor",
    "Child",
    "Document",
    "Engine",
    "Exporter",
    "LabError",
    "Load",
    "Network",
    "Nodes",
    "Prometheus",
    "Release",
    "Sample",
    "Skew",
    "Tap",
    "TaskExporter",
    "chosen",
    "free_port",
    "load_image",
    "missing",
    "python_base",
    "selected",
    "start_load",
    "starving",
    "wait_for",
]

_RELEASED = ("dockerd", "docker", "containerd", "runc", "prometheus", "promtool")
_OWN = ("iptables", "ip", "busybox", "debootstrap")


def missing() -> str | None:
    """One sentence on why the lab cannot run here and what would help, or None."""
    if os.geteuid() != 0:
        return f"the lab needs root for a Docker engine of its own; run the end-to-end tests as root after {INSTALL}"
    if reason := chosen().missing(*_RELEASED):
        return reason
    try:
        for program in _OWN:
            tool(program)
    except LabError as error:
        return str(error)
    if not PROGRAM.exists():
        return f"cAdvisor is not installed; {INSTALL} installs it"
    return None
