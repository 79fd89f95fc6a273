"""Writes that passed a workflow: what was written while it was paused, and what it still sends must not write over.

A pause notes where the audit is. When the workflow goes on, and until it has planned what came in meanwhile, the lines
and records of the writes since then are kept as rows. Nothing is kept while it is paused, or by a workflow that never
was. `recent_writes` is what a start of the program remembers without any row.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from askel_tui.core.lines import connection_numbers, identifier_numbers
from askel_tui.core.operations import Identity
from askel_tui.store.journal import statements
from askel_tui.store.journal.states import HELD, NOTHING_TO_REMOVE, WAITING
from askel_tui.store.journal.tables.lines import read_links
from askel_tui.store.journal.transaction import Transaction

STATE_KINDS = (
    "'upsert_profile', 'add_to_list', 'remove_from_list', 'trigger_flow', 'subscribe', 'unsubscribe'"
)
"""The kinds of steps that write state, for SQL."""

_WRITES = (
    "SELECT a.seq, a.connection, a.profile, r.seq FROM audit a "
    "JOIN records r ON r.connection = a.connection AND r.id = a.record "
    f"WHERE a.kind IN ({STATE_KINDS}) AND a.profile IS NOT NULL "
    f"AND (a.status IN ('written', 'unconfirmed') OR {NOTHING_TO_REMOVE}) "
)


def begin_pause(db: Transaction, workflow: str) -> None:
    """Notes where the audit is, unless an earlier pause did and the workflow has not caught up since."""
    db.execute(
        "UPDATE workflows SET passed = (SELECT coalesce(max(seq), 0) FROM audit) "
        "WHERE workflow = ? AND passed IS NULL",
        (workflow,),
    )


def note_passed(db: Transaction, workflow: str, limit: int = -1) -> bool:
    """Keeps the writes since a workflow's pause that were not kept yet, so many at most; returns whether there may be
    more."""
    found = db.execute(
        "SELECT connection, passed FROM workflows WHERE workflow = ? AND passed IS NOT NULL", (workflow,)
    ).fetchone()
    if found is None:
        return False
    connection, since = found
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()
    entries = db.execute(
        f"{_WRITES} AND a.connection = ? AND a.seq > ? ORDER BY a.seq LIMIT ?", (connection, since, limit)
    ).fetchall()
    rows = sorted(set(_by_line(db, entries)))
    statements.insert_rows(db, "passed_writes", "line, record_seq", rows, "ON CONFLICT DO NOTHING")
    more = len(entries) == limit
    newest = max((record_seq for _, record_seq in rows), default=0)
    db.execute(
        "UPDATE workflows SET passed = ?, passed_by = max(coalesce(passed_by, 0), ?) WHERE workflow = ?",
        (entries[-1][0] if more else last, newest, workflow),
    )
    return more


def end_passed(db: Transaction, workflow: str, position: int) -> None:
    """Ends the keeping once a workflow has planned up to the newest of the records that passed it, and forgets them
    once nothing older of it waits or is held."""
    found = db.execute(
        "SELECT connection, passed, passed_by FROM workflows "
        "WHERE workflow = ? AND status <> 'paused' AND passed_by <= ?",
        (workflow, position),
    ).fetchone()
    if found is None:
        return
    connection, passed, newest = found
    if passed is not None:
        db.execute("UPDATE workflows SET passed = NULL WHERE workflow = ?", (workflow,))
    (left,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM operations WHERE workflow = ? AND state = {HELD}) OR coalesce(("
        "SELECT record_seq FROM operations INDEXED BY operations_waiting WHERE workflow = ? AND connection = ? "
        f"AND state = {WAITING} AND request IS NULL ORDER BY seq LIMIT 1) < ?, 0)",
        (workflow, workflow, connection, newest),
    ).fetchone()
    if not left:
        db.execute("UPDATE workflows SET passed_by = NULL WHERE workflow = ?", (workflow,))
        forget_passed(db)


def forget_passed(db: Transaction) -> None:
    """Deletes the writes that passed workflows, where none has to know them any more."""
    db.execute(
        "DELETE FROM passed_writes WHERE NOT EXISTS (SELECT 1 FROM workflows WHERE passed_by IS NOT NULL)"
    )


def passed_by(db: Transaction, lines: Collection[int]) -> dict[int, int]:
    """Returns the newest record that passed a workflow, by line, where there is one."""
    if not lines or db.execute("SELECT 1 FROM passed_writes LIMIT 1").fetchone() is None:
        return {}
    rows = db.execute(
        "SELECT line, max(record_seq) FROM passed_writes WHERE line IN (SELECT value FROM json_each(?)) GROUP BY line",
        (statements.json_list(lines),),
    )
    return dict(rows.fetchall())


def passed_records(db: Transaction, line: int) -> list[int]:
    """Lists the records of a line that passed a workflow."""
    rows = db.execute("SELECT record_seq FROM passed_writes WHERE line = ? ORDER BY record_seq", (line,))
    return [record_seq for (record_seq,) in rows]


def recent_writes(db: Transaction, connections: Collection[str], limit: int) -> list[tuple[int, int]]:
    """Lists the lines and records of the last writes, the oldest first."""
    entries = db.execute(
        f"{_WRITES} AND a.connection IN (SELECT value FROM json_each(?)) ORDER BY a.seq DESC LIMIT ?",
        (json.dumps([*connections]), limit),
    ).fetchall()
    return _by_line(db, entries[::-1])


def _by_line(db: Transaction, entries: Sequence[tuple[int, str, str, int]]) -> list[tuple[int, int]]:
    named = [
        (connection_numbers(connection, identifier_numbers(Identity(**json.loads(profile)))), record_seq)
        for _, connection, profile, record_seq in entries
    ]
    links = read_links(db, {number for numbers, _ in named for number in numbers})
    return [(line, record_seq) for numbers, record_seq in named for line in links.lines(numbers)]
