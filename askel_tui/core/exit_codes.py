"""Exit codes of the command line, and the base class of the errors that end a command with one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from askel_tui.core.problems import Problem


class ExitCode(IntEnum):
    """The exit codes of `askel`, each with its meaning."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    KEY_OR_SCOPE = 4
    UNREACHABLE = 5


class AskelError(Exception):
    """An error that a person is meant to read: `str()` is the sentence to show, without a traceback.

    An exception of any other class is a bug, and ends a command with a crash report.
    """

    exit_code: ExitCode = ExitCode.FAILED
    """The exit code of a command that ends with this error. A subclass overrides it; an instance may."""

    problems: Sequence[Problem] = ()
    """The errors, one line each, where there is more than one sentence to show."""
