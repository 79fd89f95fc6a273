"""Every command of `askel`, by its path."""

from __future__ import annotations

from collections.abc import Iterator

import click

from askel_tui.cli.main import cli


def _commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


EVERY = dict(_commands(cli))
"""Commands and groups by path, in the order of the help."""


def does_something(command: click.Command) -> bool:
    """Whether it can be called itself; most groups only hold others."""
    return not isinstance(command, click.Group) or command.invoke_without_command
