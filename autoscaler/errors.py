"""Every exception this package raises on purpose, as one tree.

AutoscalerError
├── ConfigurationError          the operator's input is wrong; the message says where, what, and what would be right
│   ├── PolicyError             one or many problems in policy files
│   └── SettingsError           one or many problems in the environment or on the command line
├── JournalError                the journal of what happened cannot be read or written
├── DaemonError                 a running daemon did not answer a command, or refused it
└── BackendError                Swarm or Prometheus did not do what was asked
    ├── UnreachableError        no usable answer: refused, cut, timed out, not a manager, no quorum, 5xx
    │   └── DeadlineError       the time allowed for the call ran out; the call may still be going on
    └── RefusedError            an answer to this call that is no, or of no use: bad query, bad request, forbidden,
                                doubted by the server itself; another call may well be answered
"""

from __future__ import annotations


class AutoscalerError(Exception):
    """The root of what this package raises on purpose."""


class ConfigurationError(AutoscalerError):
    """The operator's input is wrong."""


class PolicyError(ConfigurationError):
    """Policy files hold these problems; nothing of them was applied."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(ConfigurationError):
    """The environment or the command line holds these problems."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DaemonError(AutoscalerError):
    """A running daemon did not answer a command, or refused it; the message says the cure."""


class JournalError(AutoscalerError):
    """The journal of what happened cannot be read or written; the message says why."""

    def __init__(self, message: str, *, damaged: bool = False, locked: bool = False, foreign: bool = False) -> None:
        """Say whether the file is *damaged*, *locked* by another process, or *foreign*: not of this version."""
        super().__init__(message)
        self.damaged = damaged
        self.locked = locked
        self.foreign = foreign


class BackendError(AutoscalerError):
    """Swarm or Prometheus did not do what was asked."""


class UnreachableError(BackendError):
    """The backend gave no usable answer; the same call may work later."""


class RefusedError(BackendError):
    """The backend understood this call, and said no or nothing that can be used; it would say so again."""


class DeadlineError(UnreachableError):
    """The time allowed for the call ran out; the call may still be going on."""
