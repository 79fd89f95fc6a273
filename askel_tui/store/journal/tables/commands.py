"""Orders to the daemon, in the embedded journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from askel_tui.core.operations import canonical_json
from askel_tui.store.journal.rows import Command
from askel_tui.store.journal.transaction import Transaction

_ROW = "SELECT id, name, arguments, actor, at, state, result FROM commands"


def submit_command(db: Transaction, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
    """Leaves an order; gives its id."""
    ordered = db.execute(
        "INSERT INTO commands (name, arguments, actor, at) VALUES (?, ?, ?, ?)",
        (name, canonical_json(arguments).decode(), actor, now),
    )
    if ordered.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return ordered.lastrowid


def open_commands(db: Transaction) -> list[Command]:
    """Orders that nobody has carried out yet, oldest first."""
    return [_command(*row) for row in db.execute(f"{_ROW} WHERE state = 'open' ORDER BY id")]


def finish_command(
    db: Transaction, command: int, state: Literal["done", "refused"], result: Mapping[str, Any]
) -> None:
    """Writes what became of an order; the first result stands. Raises `LookupError`."""
    find_command(db, command)
    db.execute(
        "UPDATE commands SET state = ?, result = ? WHERE id = ? AND state = 'open'",
        (state, canonical_json(result).decode(), command),
    )


def find_command(db: Transaction, command: int) -> Command:
    """The order of this id. Raises `LookupError`."""
    row = db.execute(f"{_ROW} WHERE id = ?", (command,)).fetchone()
    if row is None:
        raise LookupError(f"there is no order {command}")
    return _command(*row)


def _command(
    command: int,
    name: str,
    arguments: str,
    actor: str,
    at: int,
    state: Literal["open", "done", "refused"],
    result: str | None,
) -> Command:
    parsed = None if result is None else json.loads(result)
    return Command(command, name, json.loads(arguments), actor, at, state, parsed)
