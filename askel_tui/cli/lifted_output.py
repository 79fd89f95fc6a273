"""The question about people who have opted out and would be subscribed again, on the command line."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from askel_tui.cli.common import CommandError
from askel_tui.core.exit_codes import ExitCode

T = TypeVar("T")

resubscribe_option = click.option(
    "--resubscribe",
    type=click.IntRange(0),
    metavar="N",
    help="Let up to so many people who have opted out, or are suppressed, be subscribed again.",
)


async def answer_lifted(do: Callable[..., Awaitable[T]], resubscribe: int | None, **given: Any) -> T:
    """Does what takes `resubscribe`, and may subscribe people again; asks for their number where it was not given.

    Raises `CommandError` where another one is given, and without a terminal, naming the flag.
    """
    from askel_tui.services.history.opted_out import PeopleLifted

    try:
        return await do(resubscribe=resubscribe, **given)
    except PeopleLifted as question:
        people, about = question.preview.people, f"{question.preview.describe()}."
        if not sys.stdin.isatty():
            flag = f"--resubscribe {people}"
            raise CommandError(
                f"{about} There is no terminal to ask on: {flag} lets them", ExitCode.REFUSED
            ) from None
        answer = click.prompt(f"{about} Type their number to let them", default="cancel", err=True)
        if answer.strip().replace(",", "") != str(people):
            raise CommandError("nothing was changed") from None
        return await do(resubscribe=people, **given)
