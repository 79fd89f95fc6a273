"""Click groups that import a command when it is called, and suggest a name for a mistyped one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """The location of a command, and its line in the help, which is shown without importing it."""

    module: str
    attribute: str
    help: str
    section: str


class SuggestingGroup(click.Group):
    """A group that asks "did you mean" where a command does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolves the command that `args` name. Raises `click.UsageError` with the nearest name."""
        named = bool(args) and not args[0].startswith("-") and not ctx.resilient_parsing
        if named and self.get_command(ctx, args[0]) is None:
            self._raise_unknown_command(ctx, args[0])
        return super().resolve_command(ctx, args)

    def _raise_unknown_command(self, ctx: click.Context, word: str) -> None:
        from askel_tui.core.problems import did_you_mean

        known = self.list_commands(ctx)
        guess = did_you_mean(word, known)
        hint = f"Did you mean {guess!r}?" if guess else f"There is {', '.join(known)}."
        raise click.UsageError(f"no command is called {word!r}. {hint}", ctx)


class LazyGroup(SuggestingGroup):
    """A group whose commands are imported when they are called; its help imports none of them."""

    def __init__(self, *args: Any, entries: Mapping[str, CommandEntry], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Lists the names of the commands, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command of a name; None where there is none."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as missing:
            if missing.name != entry.module:
                raise
            raise click.ClickException(f"`{cmd_name}` is not part of this installation") from None
        command: click.Command = getattr(module, entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table of commands, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)
