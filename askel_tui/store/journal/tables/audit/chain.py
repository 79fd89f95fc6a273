"""Appending to the audit, whose entries are chained by hashes so that a later change of one is found.

An entry's hash is SHA-256 over the previous entry's hash (hex) and the canonical JSON of the entry without its hash.
In there a request stands with the digest of its body, so that old bodies can be pruned and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Operation, Target, split_encoded
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.tables.audit.encoding import pack_operation_id
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.transaction import Transaction

SYSTEM_ACTOR = "askel"
"""The actor of entries that neither a person nor a record's actor caused."""

AUDIT_BATCH_ROWS = 1_000
"""The number of entries that are gathered before they are written."""

_OWN_COLUMNS = "seq, record, operation, hash, profile"
"""The columns in which the entries of one frame differ."""


@dataclass(frozen=True, slots=True)
class CarryingRequest:
    """The request that carried an operation, as its audit entry shows it."""

    id: int
    method: str
    path: str
    digest: bytes
    revision: str
    key: str

    def hashed_fields(self) -> dict[str, Any]:
        """Returns the fields of a request that the chain hashes."""
        return {"id": self.id, "method": self.method, "path": self.path, "sha256": self.digest.hex()}


def _json_text(value: str | None) -> str:
    """Encodes a text as JSON, as `canonical_json` writes it."""
    return "null" if value is None else encode_basestring(value)


@dataclass(slots=True, eq=False)
class _Frame:
    """The shared part of entries that differ only in record, operation and profile, and their unwritten rows."""

    head: str
    middle: str
    tail: str
    shared: Mapping[str, Any]
    target: Target | None
    """The target of the entries: kept, so that no other target can come to have its `id()`."""
    rows: list[tuple[Any, ...]]


class AuditChain:
    """Appends entries within one write transaction; they are in the table once `flush` was called."""

    def __init__(self, db: Transaction, now: int) -> None:
        self._db = db
        self._now = now
        self._seq, head = db.execute("SELECT seq, hash FROM audit_head").fetchone()
        self._hash: bytes = head
        self._first: int = self._seq
        self._written = self._seq
        self._frames: dict[tuple[Any, ...], _Frame] = {}

    def append(
        self,
        *,
        kind: str,
        status: str,
        actor: str | None = None,
        connection: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        record: str | None = None,
        operation: Operation | None = None,
        response: Mapping[str, Any] | None = None,
        attempts: int = 0,
    ) -> None:
        """Appends one entry."""
        target = None if operation is None else operation.target
        frame = self._frame(
            kind, status, actor, connection, workflow, step, target, None, response, attempts, None
        )
        if operation is None:
            self._append(frame, record, None, None)
        else:
            profile = canonical_json(operation.profile.identifiers()).decode()
            self._append(frame, record, operation.id, profile)

    def append_decision(self, decision: Decision) -> None:
        """Appends the entry of a decision."""
        # Through JSON and back, so that the value hashed now is the value that reading will give.
        detail = json.loads(canonical_json(dict(decision.detail)))
        self.append(
            kind=decision.kind,
            status="done",
            actor=decision.actor,
            connection=decision.connection,
            workflow=decision.workflow,
            step=decision.step,
            record=decision.record,
            response={"detail": detail} if detail else None,
        )

    def append_operation(
        self, row: QueueRow, operation: Operation, status: str, detail: str | None, actor: str | None = None
    ) -> None:
        """Appends the entry of an operation that was settled without a request."""
        self.append(
            kind=operation.kind,
            status=status,
            actor=actor or row.actor,
            connection=row.connection,
            workflow=row.workflow,
            step=row.step,
            record=row.record,
            operation=operation,
            response={"detail": detail} if detail else None,
            attempts=row.attempts,
        )

    def append_settled(
        self,
        ended: Iterable[tuple[QueueRow, bytes]],
        status: str,
        response: Mapping[str, Any] | None,
        ms: int | None,
        request: CarryingRequest | None,
        profiles: Mapping[int, str],
    ) -> None:
        """Appends the entries of operations that ended alike, carried by a request or by none.

        `profiles` holds by `seq` the identifiers that were written to, as canonical JSON, where they are not those of
        the operation.
        """
        frames: dict[tuple[Any, ...], _Frame] = {}
        for row, body in ended:
            ident, _, profile, shared = split_encoded(body)
            # The operations of a packed request share all but their profiles.
            alike = (row.actor, row.connection, row.workflow, row.attempts, shared)
            frame = frames.get(alike)
            if frame is None:
                operation = Operation.decode(body)
                attempts = row.attempts + (request is not None)
                frame = frames[alike] = self._frame(
                    operation.kind, status, row.actor, row.connection, row.workflow, row.step, operation.target,
                    request, response, attempts, ms,
                )  # fmt: skip
            self._append(frame, row.record, ident, profiles.get(row.seq, profile))

    def flush(self) -> None:
        """Writes the appended entries, and the new end of the chain."""
        if self._seq > self._first:
            self._write()
            self._db.execute("UPDATE audit_head SET seq = ?, hash = ?", (self._seq, self._hash))

    def _frame(
        self,
        kind: str,
        status: str,
        actor: str | None,
        connection: str | None,
        workflow: str | None,
        step: str | None,
        target: Target | None,
        carried_by: CarryingRequest | None,
        response: Mapping[str, Any] | None,
        attempts: int,
        ms: int | None,
    ) -> _Frame:
        actor = actor or SYSTEM_ACTOR
        answer = canonical_json(response).decode() if response else None
        request, revision, key = None, None, None
        if carried_by is not None:
            request, revision, key = carried_by.id, carried_by.revision, carried_by.key
        alike = (kind, status, actor, connection, workflow, step, id(target), request, answer, attempts, ms)
        frame = self._frames.get(alike)
        if frame is not None:
            return frame
        named = None if target is None else canonical_json(target.as_dict()).decode()
        hashed_request = None if carried_by is None else canonical_json(carried_by.hashed_fields()).decode()
        # The canonical JSON of an entry, in the order of its sorted names, around the entry's own values.
        head = (
            f'{{"actor":{_json_text(actor)},"at":{self._now},"attempts":{attempts},'
            f'"connection":{_json_text(connection)},"key":{_json_text(key)},"kind":{_json_text(kind)},'
            f'"ms":{"null" if ms is None else ms},"operation":'
        )
        middle = (
            f',"request":{hashed_request or "null"},"response":{answer or "null"},'
            f'"revision":{_json_text(revision)},"seq":'
        )
        tail = (
            f',"status":{_json_text(status)},"step":{_json_text(step)},"target":{named or "null"},'
            f'"workflow":{_json_text(workflow)}}}'
        )
        shared = {
            "at": self._now, "actor": actor, "connection": connection, "workflow": workflow, "step": step,
            "kind": kind, "status": status, "request": request, "attempts": attempts, "ms": ms,
            "revision": revision, "key": key, "target": named, "response": answer,
        }  # fmt: skip
        frame = self._frames[alike] = _Frame(head, middle, tail, shared, target, [])
        return frame

    def _append(self, frame: _Frame, record: str | None, ident: str | None, profile: str | None) -> None:
        self._seq += 1
        packed = None if ident is None else pack_operation_id(ident)
        before = self._hash.hex()
        entry = (
            f'{frame.head}{_json_text(ident)},"prev":"{before}","profile":{profile or "null"},'
            f'"record":{_json_text(record)}{frame.middle}{self._seq}{frame.tail}'
        )
        # Half a surrogate pair makes `canonical_json` escape all of an entry.
        data = canonical_json(json.loads(entry)) if "\\ud" in entry else entry.encode()
        self._hash = hashlib.sha256(before.encode() + data).digest()
        frame.rows.append((self._seq, record, packed, self._hash, profile))
        if self._seq - self._written >= AUDIT_BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        for frame in self._frames.values():
            statements.insert_rows(self._db, "audit", _OWN_COLUMNS, frame.rows, shared=frame.shared)
            frame.rows.clear()
        self._written = self._seq


def write_decision(db: Transaction, decision: Decision, now: int) -> None:
    """Writes the audit entry of a decision that changes nothing else in the journal."""
    chain = AuditChain(db, now)
    chain.append_decision(decision)
    chain.flush()
    if decision.workflow and decision.detail.get("differences"):
        counters = CounterChanges()
        counters.add(decision.workflow, decision.connection or "", differing=1)
        counters.write(db)


def chain_hash(before: bytes, entry: Mapping[str, Any]) -> bytes:
    """Computes the hash of an entry (without `prev` and `hash`) that follows the one with the hash `before`."""
    prev = before.hex()
    return hashlib.sha256(prev.encode() + canonical_json({**entry, "prev": prev})).digest()
