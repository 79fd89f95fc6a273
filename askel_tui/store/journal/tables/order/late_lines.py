"""Lines that were found to be one late: what older records wrote over, or are about to, is put right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, StepKind, Target, operation_id
from askel_tui.core.requests.superseded import (
    FieldNames,
    WrittenFields,
    read_written_fields,
    read_written_values,
    removed_fields,
    without_superseded,
)
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision, LateLine, StoredOperation, WorkflowState, encode_run
from askel_tui.store.journal.states import NOTHING_TO_REMOVE, WAITING
from askel_tui.store.journal.tables import operations, profile_ids, requests, superseded
from askel_tui.store.journal.tables.audit.chain import SYSTEM_ACTOR
from askel_tui.store.journal.tables.audit.encoding import pack_operation_id
from askel_tui.store.journal.tables.lines import with_lines
from askel_tui.store.journal.tables.order.passed import passed_records
from askel_tui.store.journal.tables.runs import queue_again
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.tables.workflows import workflow_states
from askel_tui.store.journal.transaction import Transaction

WRITTEN_AGAIN_KIND = "written_again"

_CALL_OF_KIND: Mapping[StepKind, Call] = {
    "upsert_profile": Call.CREATE_OR_UPDATE_PROFILE,
    "add_to_list": Call.ADD_PROFILES_TO_LIST,
    "remove_from_list": Call.REMOVE_PROFILES_FROM_LIST,
}
"""The call that writes each kind of state again. Events, flows and consent are never repeated."""

_FIELDS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "upsert_profile": ("attribute ", "property "),
    "add_to_list": ("list ",),
    "remove_from_list": ("list ",),
    "trigger_flow": ("list ",),
    "subscribe": ("consent ",),
    "unsubscribe": ("consent ",),
}


@dataclass(frozen=True, slots=True)
class _Write:
    """A write of a record, as the audit has it."""

    entry: int
    record_seq: int
    record: str
    connection: str
    workflow: str
    step: str
    kind: StepKind
    profile: Identity
    target: Target | None
    request: int
    opened: int
    answered: int | None
    fields: FieldNames


def settle_late_lines(
    db: Transaction, lines: Sequence[LateLine], now: int
) -> tuple[dict[int, StoredOperation | None], list[StoredOperation]]:
    """Settles lines that were found to be one late.

    Operations that wait leave out what newer records have written already. State that older records wrote after newer
    ones is written again from the newer. Returns the operations that changed by `seq`, None for one with nothing left,
    and the waiting operations that were added.
    """
    changed: dict[int, StoredOperation | None] = {}
    added: list[int] = []
    with UnitOfWork(db, now) as work:
        for line in lines:
            passed = passed_records(db, line.line) if line.waiting else ()
            writes = _writes(db, [*{*line.sent, *passed}])
            for seq in line.waiting:
                if _drop_superseded(work, seq, writes):
                    changed[seq] = None
            added += _write_again(work, [write for write in writes if write.record_seq in line.sent])
    for stored in _stored(db, changed):
        changed[stored.seq] = stored
    return changed, _stored(db, added)


def _stored(db: Transaction, seqs: Sequence[int] | Mapping[int, object]) -> list[StoredOperation]:
    rows = db.execute(
        f"SELECT {operations.STORED_COLUMNS} FROM operations WHERE seq IN (SELECT value FROM json_each(?))",
        (statements.json_list([*seqs]),),
    )
    return with_lines(db, map(operations.decode_operation, rows))


def _writes(db: Transaction, record_seqs: Sequence[int]) -> list[_Write]:
    """Finds what records wrote of profiles, in the order in which it was answered."""
    kinds = ", ".join(f"'{kind}'" for kind in _FIELDS_OF_KIND)
    rows = db.execute(
        "SELECT a.seq, r.seq, r.id, a.connection, a.workflow, a.step, a.kind, a.profile, a.target, q.id, "
        "q.opened, q.answered, q.path "
        "FROM records r JOIN audit a ON a.record = r.id AND a.connection = r.connection "
        f"JOIN requests q ON q.id = a.request WHERE r.seq IN (SELECT value FROM json_each(?)) AND a.kind IN ({kinds}) "
        "AND a.status IN ('written', 'unconfirmed') AND a.profile IS NOT NULL ORDER BY a.seq",
        (statements.json_list(record_seqs),),
    ).fetchall()
    bodies: dict[int, WrittenFields] = {}
    found = []
    for *columns, kind, profile, target, request, opened, answered, path in rows:
        if request not in bodies:
            bodies[request] = read_written_fields(path, requests.request_body(db, request))
        identity = Identity(**json.loads(profile))
        fields = bodies[request].for_profile(identity)
        of_kind = frozenset(name for name in fields if name.startswith(_FIELDS_OF_KIND[kind]))
        entry, record_seq, record, connection, workflow, step = columns
        found.append(
            _Write(
                entry, record_seq, record, connection, workflow, step, kind, identity,
                Target(**json.loads(target)) if target else None, request, opened, answered, of_kind,
            )
        )  # fmt: skip
    found += _removals_of_nothing(db, record_seqs)
    return sorted(found, key=lambda write: write.entry)


def _removals_of_nothing(db: Transaction, record_seqs: Sequence[int]) -> Iterator[_Write]:
    """Finds the removals that found nothing to remove: what older records put there afterwards is removed, too."""
    rows = db.execute(
        "SELECT a.seq, r.seq, r.id, a.connection, a.workflow, a.step, a.kind, a.at, a.profile, a.target "
        "FROM records r JOIN audit a ON a.record = r.id AND a.connection = r.connection "
        f"WHERE r.seq IN (SELECT value FROM json_each(?)) AND a.profile IS NOT NULL AND {NOTHING_TO_REMOVE}",
        (statements.json_list(record_seqs),),
    )
    for entry, record_seq, record, connection, workflow, step, kind, at, profile, target in rows.fetchall():
        identity, removed_from = Identity(**json.loads(profile)), Target(**json.loads(target))
        fields = removed_fields(kind, str(removed_from.id), identity)
        yield _Write(
            entry, record_seq, record, connection, workflow, step, kind, identity, removed_from,
            -entry,  # It has no request, and no request has this number.
            at, at, fields,
        )  # fmt: skip


def _drop_superseded(work: UnitOfWork, seq: int, writes: Sequence[_Write]) -> bool:
    """Removes from a waiting operation what newer records have written of its profile; returns whether it changed."""
    row = operations.find_row(work.db, seq)
    if row is None or row.state != WAITING or row.request is not None:
        return False
    operation = operations.read_operation(work.db, seq)
    if operation.call not in superseded.KINDS:
        return False
    newer: set[str] = set()
    for write in writes:
        if write.record_seq > row.record_seq and _are_one(work.db, row.connection, operation.profile, write):
            newer |= write.fields
    left = without_superseded(operation, frozenset(newer))
    superseded.replace_operation(work, row, operation, left)
    return left is not operation


def _write_again(work: UnitOfWork, writes: Sequence[_Write]) -> list[int]:
    """Queues what older records wrote over once more, from the newest; returns the operations' `seq`."""
    states = {state.workflow: state for state in workflow_states(work.db)}
    added: list[int] = []
    known: dict[tuple[str, Identity, str, Identity], bool] = {}

    def are_one(connection: str, profile: Identity, write: _Write) -> bool:
        """Asks once for two identities: a line has many writes, and few ways to name its person."""
        pair = (connection, profile, write.connection, write.profile)
        found = known.get(pair)
        if found is None:
            found = known[pair] = _are_one(work.db, connection, profile, write)
        return found

    for write in writes:
        others = [each for each in writes if are_one(write.connection, write.profile, each)]
        lost = {name for name in write.fields if _is_lost(write, name, others)}
        if lost and write.kind in _CALL_OF_KIND and write.workflow in states:
            older = [each for each in others if each.record_seq < write.record_seq and each.fields & lost]
            over = [each for each in older if _may_follow(each, write)][-1]
            added += _queue(work, states[write.workflow], write, frozenset(lost), over)
    return [seq for seq in added if seq]


def _is_lost(write: _Write, name: str, writes: Sequence[_Write]) -> bool:
    """Checks whether a field's newest value, which a write wrote, was written over by older records."""
    of_name = [each for each in writes if name in each.fields]
    newest = max(of_name, key=lambda each: (each.record_seq, each.entry))
    older = [each for each in of_name if each.record_seq < write.record_seq]
    return newest is write and any(_may_follow(each, write) for each in older)


def _may_follow(one: _Write, newest: _Write) -> bool:
    """Checks whether one write may have reached the account after another: it was answered later, or both were on the
    wire together."""
    if one.request == newest.request:
        return False
    return one.entry > newest.entry or (one.answered or 0) > newest.opened


def _queue(
    work: UnitOfWork, state: WorkflowState, write: _Write, lost: FieldNames, over: _Write
) -> Sequence[int]:
    ident = operation_id(write.connection, write.workflow, over.entry, write.record, write.step)
    queued = work.db.execute(
        "SELECT body FROM operations WHERE record_seq = ? AND workflow = ?",
        (write.record_seq, write.workflow),
    )
    if any(Operation.decode(body).id == ident for (body,) in queued):
        return ()
    written = work.db.execute(
        "SELECT 1 FROM audit INDEXED BY audit_record WHERE record = ? AND operation = ? LIMIT 1",
        (write.record, pack_operation_id(ident)),
    )
    if written.fetchone() is not None:
        return ()  # Once is enough: by a clock that was set back, the older write seems to come later for ever.
    body = None
    if write.kind == "upsert_profile":
        body = read_written_values(requests.request_body(work.db, write.request), write.profile, lost)
    operation = Operation(
        ident, write.step, write.kind, _CALL_OF_KIND[write.kind], write.profile, write.target, body=body or {}
    )
    detail = {
        "fields": sorted(lost),
        "why": f"record {over.record} is older and was written later: both turned out to be of one person",
    }
    work.audit.append_decision(
        Decision(
            WRITTEN_AGAIN_KIND,
            SYSTEM_ACTOR,
            write.connection,
            write.workflow,
            write.step,
            detail,
            write.record,
        )
    )
    return queue_again(work, state, encode_run(write.record_seq, write.record, [operation]))


def _are_one(db: Transaction, connection: str, profile: Identity, write: _Write) -> bool:
    return write.connection == connection and profile_ids.are_one_profile(
        db, connection, profile, write.profile
    )
