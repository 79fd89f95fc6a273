"""Confirmations: writes that Klaviyo accepted without saying whether they were carried out, and the result of reading
them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.store.journal.rows import Confirmation, UnconfirmedWrite
from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.audit.encoding import unpack_operation_id
from askel_tui.store.journal.transaction import Transaction

EVENTS_SAMPLED_PER_REQUEST = 3
"""The number of events of one request that are read back."""

_FIND = f"""
SELECT a.seq, coalesce(a.number, a.seq), a.at, a.connection, a.workflow, a.step, a.record, a.operation, a.kind,
  a.profile, a.target, a.request
FROM audit a NOT INDEXED
WHERE a.seq > :after AND a.at >= :since AND a.status = 'unconfirmed' AND a.request IS NOT NULL AND a.kind IN
  ('subscribe', 'unsubscribe', 'track_event', 'trigger_flow')
AND (a.kind IN ('subscribe', 'unsubscribe')
  OR a.request IS NOT (SELECT b.request FROM audit b WHERE b.seq = a.seq - {EVENTS_SAMPLED_PER_REQUEST}))
AND NOT EXISTS (SELECT 1 FROM audit c INDEXED BY audit_record WHERE c.record = a.record
  AND c.seq > a.seq AND c.operation = a.operation)
ORDER BY a.seq LIMIT :limit
"""


def unconfirmed_writes(
    db: Transaction, after: int, since: int, limit: int
) -> tuple[list[UnconfirmedWrite], int]:
    """Finds entries with a higher `seq` than `after`, not older than `since`, that wait for a confirmation, and the
    last `seq` searched.

    All entries of consent, and of each call's events a few.
    """
    (head,) = db.execute("SELECT seq FROM audit_head").fetchone()
    if after == 0:
        # Only at the start: later calls continue from the `seq` that this returns.
        (first,) = db.execute("SELECT min(seq) FROM audit WHERE at >= ?", (since,)).fetchone()
        after = head if first is None else first - 1
    rows = db.execute(_FIND, {"after": after, "since": since, "limit": limit})
    found = [_unconfirmed(row) for row in rows]
    return found, found[-1].seq if len(found) == limit else max(after, int(head))


def _unconfirmed(row: tuple[Any, ...]) -> UnconfirmedWrite:
    seq, number, at, connection, workflow, step, record, operation, kind, profile, target, request = row
    return UnconfirmedWrite(
        seq, number, at, connection, workflow, step, record, unpack_operation_id(operation) or "", kind,
        Identity(**json.loads(profile)), None if target is None else Target(**json.loads(target)), request,
    )  # fmt: skip


def write_confirmations(db: Transaction, confirmed: Sequence[Confirmation], now: int) -> int:
    """Writes one audit entry for each write that was read back; returns how many were new."""
    chain = AuditChain(db, now)
    count = 0
    for each in confirmed:
        write = each.write
        if _is_confirmed(db, write):
            continue
        # No call is made of it: the entry shows the operation's own fields only.
        operation = Operation(
            write.operation, write.step, write.kind, Call.GET_PROFILE, write.profile, write.target
        )
        chain.append(
            kind=write.kind,
            status=each.status,
            connection=write.connection,
            workflow=write.workflow,
            step=write.step,
            record=write.record,
            operation=operation,
            response={"detail": each.detail, "entry": write.number},
        )
        count += 1
    chain.flush()
    return count


def _is_confirmed(db: Transaction, write: UnconfirmedWrite) -> bool:
    rows = db.execute(
        "SELECT operation FROM audit INDEXED BY audit_record WHERE record = ? AND seq > ?",
        (write.record, write.seq),
    )
    return any(unpack_operation_id(operation) == write.operation for (operation,) in rows)
