"""What people type, and what they read in return."""

from autoscaler.cli.lean_imports import import_structlog_alone

import_structlog_alone()
