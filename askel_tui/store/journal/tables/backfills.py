"""Backfills: records of the past that a workflow takes beside those that come in, and which records are history.

A backfill's records are listed by their `seq` before it runs, and it keeps its own position among them. Records that
came in with a backfill's file are its workflow's alone: no workflow plans them by itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from askel_tui.store.journal import statements
from askel_tui.store.journal.backfill_rows import Backfill, BackfillProgress, BackfillState
from askel_tui.store.journal.rows import AcceptResult, Decision, StoredRecord
from askel_tui.store.journal.states import FAILED, HELD, WAITING
from askel_tui.store.journal.tables import records as records_table
from askel_tui.store.journal.tables.audit.chain import write_decision
from askel_tui.store.journal.tables.records import EncodedRecord, decode_record
from askel_tui.store.journal.transaction import Transaction, inserted_id

_COLUMNS = "id, connection, workflow, source, digest, state, history, actor, began, ended, records, position"

_LISTED = "EXISTS (SELECT 1 FROM backfill_records b WHERE b.backfill = ? AND b.seq = o.record_seq)"


def begin_backfill(db: Transaction, wanted: Backfill, decision: Decision, now: int) -> int:
    """Stores a backfill whose records are yet to be listed, with the decision; returns its id.

    One of the same source that was never listed whole is begun anew.
    """
    db.execute(
        "DELETE FROM backfills WHERE workflow = ? AND digest = ? AND state = 'loading'",
        (wanted.workflow, wanted.digest),
    )
    stored = db.execute(
        "INSERT INTO backfills (connection, workflow, source, digest, state, history, actor, began) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            wanted.connection, wanted.workflow, wanted.source, wanted.digest, wanted.state, wanted.history,
            wanted.actor, now,
        ),
    )  # fmt: skip
    write_decision(db, decision, now)
    return inserted_id(stored)


def accept_for_backfill(
    db: Transaction, backfill: int, connection: str, encoded: Sequence[EncodedRecord], now: int
) -> list[AcceptResult]:
    """Stores records of a backfill's file that are not stored yet, and lists all of them for it; returns one result per
    record. Those that are new are its workflow's alone."""
    results = records_table.accept_records(db, connection, encoded, now)
    new = {each[0] for each, result in zip(encoded, results, strict=True) if result == "new"}
    known = known_records(db, connection, [each[0] for each in encoded])
    rows = [(backfill, seq, int(record in new)) for record, seq in known.items()]
    statements.insert_rows(db, "backfill_records", "backfill, seq, own", rows, "ON CONFLICT DO NOTHING")
    return results


def add_to_backfill(db: Transaction, backfill: int, record_seqs: Sequence[int]) -> None:
    """Lists kept records for a backfill."""
    rows = [(backfill, seq, 0) for seq in record_seqs]
    statements.insert_rows(db, "backfill_records", "backfill, seq, own", rows, "ON CONFLICT DO NOTHING")


def known_records(db: Transaction, connection: str, record_ids: Sequence[str]) -> dict[str, int]:
    """Finds the `seq` of records that are stored, by their id."""
    found = db.execute(
        "SELECT id, seq FROM records WHERE connection = ? AND id IN (SELECT value FROM json_each(?))",
        (connection, json.dumps(list(record_ids))),
    )
    return dict(found.fetchall())


def backfills(db: Transaction, *, running: bool = False) -> list[Backfill]:
    """Reads the backfills, oldest first; with `running` only those that the engine plans."""
    only = "WHERE state = 'running' " if running else ""
    return [Backfill(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM backfills {only}ORDER BY id")]


def set_backfill_state(
    db: Transaction, backfill: int, state: BackfillState, decision: Decision | None, now: int
) -> None:
    """Stores the state of a backfill, with the decision that changed it; what runs knows how many records it has."""
    db.execute(
        "UPDATE backfills SET state = ?, ended = CASE WHEN ? IN ('done', 'discarded') THEN ? END, "
        "records = (SELECT count(*) FROM backfill_records b WHERE b.backfill = backfills.id) WHERE id = ?",
        (state, state, now, backfill),
    )
    if decision is not None:
        write_decision(db, decision, now)


def backfill_records(db: Transaction, backfill: int, after: int, limit: int) -> list[StoredRecord]:
    """Reads the next records of a backfill, in order of receipt."""
    rows = db.execute(
        "SELECT r.seq, r.connection, r.received, r.body FROM backfill_records b JOIN records r ON r.seq = b.seq "
        "WHERE b.backfill = ? AND b.seq > ? ORDER BY b.seq LIMIT ?",
        (backfill, after, limit),
    )
    return [decode_record(row) for row in rows]


def backfill_progress(db: Transaction, backfill: Backfill) -> BackfillProgress:
    """Counts how far the records of a backfill are."""
    (planned,) = db.execute(
        "SELECT count(*) FROM backfill_records WHERE backfill = ? AND seq <= ?",
        (backfill.id, backfill.position),
    ).fetchone()
    # The queue is short beside the backfill: it is read once, and looked up in the list.
    states = [
        state
        for (state,) in db.execute(
            "SELECT max(CASE o.state WHEN ? THEN 2 WHEN ? THEN 1 ELSE 0 END) FROM operations o "
            f"INDEXED BY operations_run WHERE o.workflow = ? AND {_LISTED} GROUP BY o.record_seq",
            (FAILED, HELD, backfill.workflow, backfill.id),
        )
    ]
    (refused,) = db.execute(
        "SELECT count(*) FROM failures f JOIN backfill_records b ON b.backfill = ? AND b.seq = f.record_seq "
        "WHERE f.workflow = ? AND f.operation IS NULL",
        (backfill.id, backfill.workflow),
    ).fetchone()
    held, failed = states.count(1), states.count(2) + refused
    waiting = states.count(0)
    return BackfillProgress(
        backfill.records, planned, planned - waiting - held - failed, waiting, held, failed
    )


def is_backfill_waiting(db: Transaction, backfill: Backfill) -> bool:
    """Checks whether an operation of a backfill's records waits, or travels now."""
    (waiting,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM operations o WHERE o.workflow = ? AND o.state = {WAITING} AND {_LISTED})",
        (backfill.workflow, backfill.id),
    ).fetchone()
    return bool(waiting)


def backfill_outcomes(db: Transaction, backfill: Backfill) -> list[tuple[str, str, int]]:
    """Counts the audit's entries of a backfill's records under its workflow: (kind, status, number)."""
    return db.execute(
        "SELECT a.kind, a.status, count(*) FROM backfill_records b JOIN records r ON r.seq = b.seq "
        "JOIN audit a INDEXED BY audit_record ON a.record = r.id AND a.record IS NOT NULL "
        "WHERE b.backfill = ? AND a.connection = ? AND a.workflow = ? AND a.at >= ? "
        "GROUP BY a.kind, a.status ORDER BY a.kind, a.status",
        (backfill.id, backfill.connection, backfill.workflow, backfill.began),
    ).fetchall()


def record_histories(db: Transaction, workflow: str, record_seqs: Sequence[int]) -> dict[int, str]:
    """Finds which of the records are history for a workflow: the encoded rule by `seq`."""
    row = db.execute("SELECT history FROM workflows WHERE workflow = ?", (workflow,)).fetchone()
    rule = row[0] if row is not None else None
    until = json.loads(rule)["until"] if rule is not None else 0
    covered = [seq for seq in record_seqs if rule is not None and (until is None or seq <= until)]
    found: dict[int, str | None] = dict.fromkeys(covered, rule)
    listed = db.execute(
        "SELECT b.seq, f.history FROM backfills f JOIN backfill_records b ON b.backfill = f.id "
        "WHERE f.workflow = ? AND b.seq IN (SELECT value FROM json_each(?)) ORDER BY f.id",
        (workflow, statements.json_list(record_seqs)),
    )
    # A backfill that may start flows decides about its records too.
    found.update(listed.fetchall())
    return {seq: history for seq, history in found.items() if history is not None}
