"""Helpers of all commands: the instance, the actor, options, exit codes."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

from askel_tui.core.exit_codes import AskelError, ExitCode

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from askel_tui.sync.instance import Instance

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


class CommandError(AskelError):
    """Ends the command with a sentence for people and an exit code."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = code


def exit_with(code: ExitCode) -> NoReturn:
    """Ends the command with an exit code and without a message."""
    raise click.exceptions.Exit(code)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work on an event loop."""
    import logging

    # Without a handler, warnings of libraries would be printed on standard error; the store's are for people.
    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())
        if logging.lastResort is not None:
            logging.getLogger("askel_tui.store").addHandler(logging.lastResort)
    return asyncio.run(work)


def asynchronous(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Turns a command that is written as a coroutine into one that click can call."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> T:
        return run_async(command(*args, **options))

    return run


def open_instance() -> AbstractAsyncContextManager[Instance]:
    """Opens the instance of `ASKEL_HOME`. Raises `HomeUnusable`, `JournalError`."""
    from askel_tui.sync.instance import open_instance

    return open_instance()


def actor() -> str:
    """Returns the actor of commands that are given here: `cli:` and the name of the user."""
    from askel_tui.services.actors import local_actor

    return local_actor("cli")


def read_text(file: str) -> str:
    """Reads the text of a file (`-` is standard input). Raises `OSError`, `CommandError` where it is not UTF-8."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 (byte {error.start + 1})", ExitCode.REFUSED) from None


def json_option(command: F) -> F:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(
        command
    )


EXISTING_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)
"""The type of an argument that names a file to read; `-` is standard input."""


def require_confirmation(question: str, yes: bool) -> None:
    """Asks for a confirmation, unless `yes`.

    Raises `click.UsageError` without a terminal, `CommandError` where the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: --yes does it without asking")
    if not click.confirm(question, err=True):
        raise CommandError("nothing was changed")
