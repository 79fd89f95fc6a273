"""Superseded writes: operations that come back into the queue leave out what later records have written since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from askel_tui.contract.calls import Call
from askel_tui.core.lines import connection_numbers, identifier_numbers
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.superseded import (
    WrittenFields,
    read_written_fields,
    removed_fields,
    without_superseded,
)
from askel_tui.store.journal.states import CUT, HELD, NOTHING_TO_REMOVE
from askel_tui.store.journal.tables import operations, profile_ids
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

SUPERSEDED_REASON = "later records have written it since"

KINDS: Mapping[str, str] = {
    Call.CREATE_OR_UPDATE_PROFILE: "'upsert_profile'",
    Call.ADD_PROFILES_TO_LIST: "'add_to_list', 'remove_from_list', 'trigger_flow'",
    Call.REMOVE_PROFILES_FROM_LIST: "'add_to_list', 'remove_from_list', 'trigger_flow'",
    Call.BULK_SUBSCRIBE_PROFILES: "'subscribe', 'unsubscribe'",
    Call.BULK_UNSUBSCRIBE_PROFILES: "'subscribe', 'unsubscribe'",
}
"""The kinds of steps whose writes can supersede those of a call, for SQL."""


def drop_superseded(work: UnitOfWork, rows: Sequence[QueueRow], since: int) -> None:
    """Removes from operations the fields that were written since an audit entry; one with nothing left is settled as
    skipped."""
    candidates = {
        row.seq: (row, operation)
        for row in rows
        if not row.gate and (operation := operations.read_operation(work.db, row.seq)).call in KINDS
    }
    by_number: dict[int, list[int]] = {}
    for row, operation in candidates.values():
        for number in profile_ids.related_numbers(work.db, row.connection, operation.profile):
            by_number.setdefault(number, []).append(row.seq)
    dropped: dict[int, set[str]] = {}
    for connection, kinds in {(row.connection, KINDS[each.call]) for row, each in candidates.values()}:
        for identity, record_seq, written in _later_writes(work.db, connection, kinds, since, by_number):
            for seq in {
                seq for number in _numbers(connection, identity) for seq in by_number.get(number, ())
            }:
                row, operation = candidates[seq]
                if (
                    row.connection == connection
                    and record_seq > row.record_seq
                    and profile_ids.are_one_profile(work.db, connection, operation.profile, identity)
                ):
                    dropped.setdefault(seq, set()).update(written.for_profile(identity))
    for seq, fields in sorted(dropped.items()):
        row, operation = candidates[seq]
        replace_operation(work, row, operation, without_superseded(operation, frozenset(fields)))


def _later_writes(
    db: Transaction, connection: str, kinds: str, since: int, wanted: Mapping[int, object]
) -> Iterator[tuple[Identity, int, WrittenFields]]:
    """Finds the profiles with a wanted identifier that were written to after an audit entry: the record (`seq`), and
    the fields."""
    rows = db.execute(
        "SELECT a.profile, r.seq, q.id, q.path FROM audit a "
        "JOIN records r ON r.connection = a.connection AND r.id = a.record JOIN requests q ON q.id = a.request "
        f"WHERE a.seq > ? AND a.connection = ? AND a.kind IN ({kinds}) AND a.status IN ('written', 'unconfirmed')",
        (since, connection),
    )
    last: tuple[int, WrittenFields] | None = None
    for profile, record_seq, request, path in rows:
        identity = Identity(**json.loads(profile))
        if not any(number in wanted for number in _numbers(connection, identity)):
            continue
        if last is None or last[0] != request:
            # Once per request: the body of a packed one is large.
            (body,) = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
            last = (request, read_written_fields(path, body))
        yield identity, record_seq, last[1]
    yield from _later_removals(db, connection, kinds, since, wanted)


def _later_removals(
    db: Transaction, connection: str, kinds: str, since: int, wanted: Mapping[int, object]
) -> Iterator[tuple[Identity, int, WrittenFields]]:
    """Finds the removals that found nothing to remove: what was held back then must not put it there afterwards."""
    rows = db.execute(
        "SELECT a.profile, r.seq, a.kind, a.target FROM audit a "
        "JOIN records r ON r.connection = a.connection AND r.id = a.record "
        f"WHERE a.seq > ? AND a.connection = ? AND a.kind IN ({kinds}) AND {NOTHING_TO_REMOVE}",
        (since, connection),
    )
    for profile, record_seq, kind, target in rows:
        identity = Identity(**json.loads(profile))
        if any(number in wanted for number in _numbers(connection, identity)):
            names = removed_fields(kind, str(json.loads(target)["id"]), identity)
            yield identity, record_seq, WrittenFields(names, {})


def _numbers(connection: str, identity: Identity) -> tuple[int, ...]:
    return connection_numbers(connection, identifier_numbers(identity))


def replace_operation(work: UnitOfWork, row: QueueRow, before: Operation, after: Operation | None) -> None:
    """Stores what is left of an operation; one with nothing left is settled as skipped."""
    if after is None:
        work.audit.append_operation(row, before, "skipped", SUPERSEDED_REASON)
        operations.remove_row(work, row)
    elif after is not before:
        work.db.execute(
            f"UPDATE operations SET body = ?, reason = ?, mark = iif(mark = 0, {CUT}, mark) WHERE seq = ?",
            (after.encode(), f"part of it was left out: {SUPERSEDED_REASON}", row.seq),
        )


def failure_entry_seq(db: Transaction, failed: QueueRow) -> int:
    """Finds the `seq` of the audit entry of an operation's failure."""
    (seq,) = db.execute(
        "SELECT max(seq) FROM audit WHERE record = ? AND connection = ? AND workflow = ? AND step = ? "
        "AND status = 'failed'",
        (failed.record, failed.connection, failed.workflow, failed.step),
    ).fetchone()
    return int(seq or 0)


def superseded_candidates(
    db: Transaction, workflow: str, version: int, step: str, since: int
) -> list[QueueRow]:
    """Finds the operations that a hold keeps, of the steps whose kind of write was made at all since an audit entry."""
    steps = db.execute(
        "SELECT step, min(seq), max(seq) FROM operations WHERE workflow = ? AND version = ? AND hold = ? "
        f"AND state = {HELD} AND gate = 0 GROUP BY step",
        (workflow, version, step),
    ).fetchall()
    found: list[QueueRow] = []
    for name, *ends in steps:
        # The first may only identify the profile for the one behind it.
        calls = {operations.read_operation(db, seq).call for seq in ends}
        kinds = ", ".join(KINDS[call] for call in sorted(calls & KINDS.keys()))
        if kinds and _any_since(db, kinds, since):
            condition = f"workflow = ? AND version = ? AND hold = ? AND step = ? AND state = {HELD}"
            found += operations.select_rows(db, condition, (workflow, version, step, name))
    return found


def _any_since(db: Transaction, kinds: str, since: int) -> bool:
    (some,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM audit a WHERE seq > ? AND kind IN ({kinds}) "
        f"AND (status IN ('written', 'unconfirmed') OR {NOTHING_TO_REMOVE}))",
        (since,),
    ).fetchone()
    return bool(some)
