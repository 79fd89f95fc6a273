"""Input of a Klaviyo API key: from a prompt or from standard input, never from an argument."""

from __future__ import annotations

import sys
from typing import Any

import click

from askel_tui.cli.common import CommandError
from askel_tui.core.exit_codes import ExitCode

MAX_KEY_BYTES = 65_536


class KeyCommand(click.Command):
    """A command that takes a key, never as an argument: one too many may be a key, so it is not printed."""

    allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, unless there are too many arguments."""
        if ctx.args:
            raise click.UsageError(
                "too many arguments; a key is never one, for others could see it: use --key-stdin or the prompt",
                ctx,
            )
        return super().invoke(ctx)


key_option = click.option(
    "--key-stdin", is_flag=True, help="Read the private key from standard input instead of asking for it."
)


def read_key(from_stdin: bool) -> str:
    """Reads the key that a person types or pipes in. Raises `click.UsageError`, `CommandError` where it is not text."""
    if not from_stdin:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask for the key on: give it to --key-stdin")
        return str(click.prompt("Klaviyo private key (pk_…)", hide_input=True, err=True))
    stream = sys.stdin.buffer
    data = stream.readline(MAX_KEY_BYTES) if sys.stdin.isatty() else stream.read(MAX_KEY_BYTES)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CommandError(
            "what came on standard input is no API key: it is not text", ExitCode.KEY_OR_SCOPE
        ) from None
