"""Questions that a command asks on a terminal, and that flags answer where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from askel_tui.cli.common import CommandError
from askel_tui.core.exit_codes import ExitCode


def choose(question: str, choices: Mapping[str, str]) -> str:
    """Asks which of `choices` (flag, what it does) is meant, and returns its flag.

    Raises `CommandError` where nothing is chosen, and without a terminal, naming the flags.
    """
    named = "; ".join(f"{flag} {does}" for flag, does in choices.items())
    if not sys.stdin.isatty():
        raise CommandError(f"{question} There is no terminal to ask on: {named}", ExitCode.REFUSED)
    words = {flag.removeprefix("--"): flag for flag in choices}
    answer = click.prompt(
        f"{question} {named}", type=click.Choice([*words, "cancel"]), default="cancel", err=True
    )
    if answer not in words:
        raise CommandError("nothing was changed")
    return words[answer]
