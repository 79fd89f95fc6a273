"""Commands to the daemon that owns the home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from askel_tui.core.canonical import canonical_json
from askel_tui.store.journal.rows import Command
from askel_tui.store.journal.transaction import Transaction, inserted_id

_SELECT = "SELECT id, name, arguments, actor, at, state, result FROM commands"


def submit_command(db: Transaction, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
    """Leaves a command for the daemon; returns its id."""
    return inserted_id(
        db.execute(
            "INSERT INTO commands (name, arguments, actor, at) VALUES (?, ?, ?, ?)",
            (name, canonical_json(arguments).decode(), actor, now),
        )
    )


def open_commands(db: Transaction) -> list[Command]:
    """Lists the commands that were not carried out yet, oldest first."""
    return [_command(row) for row in db.execute(f"{_SELECT} WHERE state = 'open' ORDER BY id")]


def finish_command(
    db: Transaction, command: int, state: Literal["done", "refused"], result: Mapping[str, Any]
) -> None:
    """Records how a command ended; the first result stands. Raises `LookupError`."""
    find_command(db, command)
    db.execute(
        "UPDATE commands SET state = ?, result = ? WHERE id = ? AND state = 'open'",
        (state, canonical_json(result).decode(), command),
    )


def find_command(db: Transaction, command: int) -> Command:
    """Finds a command by its id. Raises `LookupError`."""
    row = db.execute(f"{_SELECT} WHERE id = ?", (command,)).fetchone()
    if row is None:
        raise LookupError(f"there is no command {command}")
    return _command(row)


def _command(row: tuple[Any, ...]) -> Command:
    command, name, arguments, actor, at, state, result = row
    parsed = None if result is None else json.loads(result)
    return Command(command, name, json.loads(arguments), actor, at, state, parsed)
