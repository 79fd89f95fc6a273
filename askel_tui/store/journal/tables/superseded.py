"""Operations that come back into the queue of the embedded journal leave out what later records have written since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.superseded import WrittenFields, read_written_fields, without_superseded
from askel_tui.store.journal.states import DECISION_KIND, HELD
from askel_tui.store.journal.tables import operations
from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.transaction import Transaction

SUPERSEDED_REASON = "later records have written it since"

_FAMILIES: Mapping[str, str] = {
    Call.CREATE_OR_UPDATE_PROFILE: "'upsert_profile'",
    Call.ADD_PROFILES_TO_LIST: "'add_to_list', 'remove_from_list', 'trigger_flow'",
    Call.REMOVE_PROFILES_FROM_LIST: "'add_to_list', 'remove_from_list', 'trigger_flow'",
    Call.BULK_SUBSCRIBE_PROFILES: "'subscribe', 'unsubscribe'",
    Call.BULK_UNSUBSCRIBE_PROFILES: "'subscribe', 'unsubscribe'",
}
"""By call: the kinds of steps whose writes can overtake it."""


def drop_superseded(
    db: Transaction,
    back: Sequence[operations.QueueRow],
    since: int,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
) -> None:
    """Takes out of operations what was written since an audit entry; one with nothing left is settled as skipped."""
    mine = {
        row.seq: (row, operation)
        for row in back
        if not row.gate and (operation := operations.read_operation(db, row.seq)).call in _FAMILIES
    }
    by_key: dict[str, list[int]] = {}
    for row, operation in mine.values():
        for key in operation.profile.keys():
            by_key.setdefault(key, []).append(row.seq)
    overtaken: dict[int, set[str]] = {}
    for connection, family in {(row.connection, _FAMILIES[each.call]) for row, each in mine.values()}:
        for identity, record_seq, wrote in _later(db, connection, family, since, by_key):
            for seq in {seq for key in identity.keys() for seq in by_key.get(key, ())}:
                row, _ = mine[seq]
                if row.connection == connection and record_seq > row.record_seq:
                    overtaken.setdefault(seq, set()).update(wrote.for_profile(identity))
    for seq, names in sorted(overtaken.items()):
        row, operation = mine[seq]
        _change(db, row, operation, without_superseded(operation, frozenset(names)), now, tally, chain)


def _later(
    db: Transaction, connection: str, family: str, since: int, wanted: Mapping[str, object]
) -> Iterator[tuple[Identity, int, WrittenFields]]:
    """Who was written to by requests after an audit entry, by which record (its place in the order), and what."""
    rows = db.execute(
        "SELECT a.profile, r.seq, q.id, q.path FROM audit a "
        "JOIN records r ON r.connection = a.connection AND r.id = a.record JOIN requests q ON q.id = a.request "
        f"WHERE a.seq > ? AND a.connection = ? AND a.kind IN ({family}) AND a.status IN ('written', 'unconfirmed')",
        (since, connection),
    )
    read: tuple[int, WrittenFields] | None = None
    for profile, record_seq, request, path in rows:
        identity = Identity(**json.loads(profile))
        if not any(key in wanted for key in identity.keys()):
            continue
        if read is None or read[0] != request:
            # Once per request: the body of a packed one is large.
            (body,) = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
            read = (request, read_written_fields(path, body))
        yield identity, record_seq, read[1]


def _change(
    db: Transaction,
    row: operations.QueueRow,
    before: Operation,
    after: Operation | None,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
) -> None:
    if after is None:
        chain.append_operation(row, before, "skipped", now, SUPERSEDED_REASON)
        operations.remove_row(db, row, tally)
    elif after is not before:
        db.execute(
            "UPDATE operations SET body = ?, reason = ? WHERE seq = ?",
            (after.encode(), f"part of it was left out: {SUPERSEDED_REASON}", row.seq),
        )


def failure_entry_seq(db: Transaction, failed: operations.QueueRow) -> int:
    """The audit entry of an operation's failure."""
    (seq,) = db.execute(
        "SELECT max(seq) FROM audit WHERE record = ? AND connection = ? AND workflow = ? AND step = ? "
        "AND status = 'failed'",
        (failed.record, failed.connection, failed.workflow, failed.step),
    ).fetchone()
    return int(seq or 0)


def hold_entry_seq(db: Transaction, workflow: str, step: str) -> int:
    """The audit entry that a step is held since: the first one after its last release."""
    of = {"workflow": workflow, "step": step}
    decided = f"FROM audit INDEXED BY audit_decision WHERE {DECISION_KIND} AND workflow = :workflow AND step = :step"
    (seq,) = db.execute(
        f"SELECT min(seq) {decided} AND kind = 'hold' "
        f"AND seq > (SELECT coalesce(max(seq), 0) {decided} AND kind = 'release')",
        of,
    ).fetchone()
    return int(seq or 0)


def superseded_candidates(db: Transaction, workflow: str, step: str, since: int) -> list[operations.QueueRow]:
    """The operations that a hold keeps, of those steps whose kind of write was made at all since an audit entry."""
    of_steps = db.execute(
        f"SELECT step, min(seq) FROM operations WHERE workflow = ? AND hold = ? AND state = {HELD} AND gate = 0 "
        "GROUP BY step",
        (workflow, step),
    ).fetchall()
    found: list[operations.QueueRow] = []
    for name, seq in of_steps:
        family = _FAMILIES.get(operations.read_operation(db, seq).call)
        if family is not None and _any_since(db, family, since):
            condition = f"workflow = ? AND hold = ? AND step = ? AND state = {HELD}"
            found += operations.select_rows(db, condition, (workflow, step, name))
    return found


def _any_since(db: Transaction, family: str, since: int) -> bool:
    (some,) = db.execute(
        f"SELECT EXISTS (SELECT 1 FROM audit WHERE seq > ? AND kind IN ({family}) "
        "AND status IN ('written', 'unconfirmed'))",
        (since,),
    ).fetchone()
    return bool(some)
