"""The audit's chain in the embedded journal: appending entries, and checking that none was changed.

An entry's hash is SHA-256 over the hash before it (hex) and the canonical JSON of the entry without its hash. In
there a request stands with the digest of its body, so that old bodies can be folded away and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from askel_tui.core.operations import Operation, Target, canonical_json, split_encoded
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.tables.operations import QueueRow
from askel_tui.store.journal.transaction import Transaction

SYSTEM_ACTOR = "askel"
"""Who acts where neither a person nor a record's actor does."""

DEEP_NESTING_LEVELS = 100

AUDIT_BATCH_ROWS = 1_000
"""Entries that are kept back before they are written."""

_OWN = "seq, record, operation, hash, profile"
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
        """What the chain hashes of a request."""
        return {"id": self.id, "method": self.method, "path": self.path, "sha256": self.digest.hex()}


def _text(value: str | None) -> str:
    """A text as JSON, as `canonical_json` writes it."""
    return "null" if value is None else encode_basestring(value)


@dataclass(slots=True, eq=False)
class _Frame:
    """What entries share that differ in their record and operation only, and the rows of those not written yet."""

    head: str
    middle: str
    tail: str
    shared: Mapping[str, Any]
    target: Target | None
    """Kept, so that no other one can come to bear its `id`."""
    rows: list[tuple[Any, ...]]


class AuditChain:
    """Appends entries within one write transaction; they are in the table once `close` was called."""

    def __init__(self, db: Transaction) -> None:
        self._db = db
        self._seq, head = db.execute("SELECT seq, hash FROM audit_head").fetchone()
        self._hash: bytes = head
        self._before: int = self._seq
        self._written = self._seq
        self._frames: dict[tuple[Any, ...], _Frame] = {}

    def append(
        self,
        *,
        at: int,
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
        """Appends one entry; `close` writes it."""
        target = None if operation is None else operation.target
        frame = self._frame(
            at, kind, status, actor, connection, workflow, step, target, None, response, attempts, None
        )
        if operation is None:
            self._append(frame, record, None, None)
        else:
            profile = canonical_json(operation.profile.identifiers()).decode()
            self._append(frame, record, operation.id, profile)

    def append_settled(
        self,
        ended: Iterable[tuple[QueueRow, bytes]],
        status: str,
        response: Mapping[str, Any] | None,
        ms: int | None,
        sent: CarryingRequest | None,
        at: int,
        profiles: Mapping[int, str],
    ) -> None:
        """Appends the entries of operations that ended alike, carried by a request or by none.

        `profiles` tells by `seq` who was written to, as canonical JSON, where that is not who the operation names.
        """
        frames: dict[tuple[Any, ...], _Frame] = {}
        for row, body in ended:
            ident, _, profile, shared = split_encoded(body)
            # The operations of a packed request share all but who they are for.
            alike = (row.actor, row.connection, row.workflow, row.attempts, shared)
            frame = frames.get(alike)
            if frame is None:
                operation = Operation.decode(body)
                attempts = row.attempts + (sent is not None)
                frame = frames[alike] = self._frame(
                    at, operation.kind, status, row.actor, row.connection, row.workflow, row.step, operation.target,
                    sent, response, attempts, ms,
                )  # fmt: skip
            self._append(frame, row.record, ident, profiles.get(row.seq, profile))

    def _frame(
        self,
        at: int,
        kind: str,
        status: str,
        actor: str | None,
        connection: str | None,
        workflow: str | None,
        step: str | None,
        target: Target | None,
        sent: CarryingRequest | None,
        response: Mapping[str, Any] | None,
        attempts: int,
        ms: int | None,
    ) -> _Frame:
        actor = actor or SYSTEM_ACTOR
        answer = canonical_json(response).decode() if response else None
        request, revision, key = (None, None, None) if sent is None else (sent.id, sent.revision, sent.key)
        alike = (
            at,
            kind,
            status,
            actor,
            connection,
            workflow,
            step,
            id(target),
            request,
            answer,
            attempts,
            ms,
        )
        frame = self._frames.get(alike)
        if frame is not None:
            return frame
        named = None if target is None else canonical_json(target.as_dict()).decode()
        # The canonical JSON of an entry, in the order of its sorted names, around what is its own.
        head = (
            f'{{"actor":{_text(actor)},"at":{at},"attempts":{attempts},"connection":{_text(connection)},'
            f'"key":{_text(key)},"kind":{_text(kind)},"ms":{"null" if ms is None else ms},"operation":'
        )
        middle = (
            f',"request":{"null" if sent is None else canonical_json(sent.hashed_fields()).decode()},'
            f'"response":{answer or "null"},"revision":{_text(revision)},"seq":'
        )
        tail = (
            f',"status":{_text(status)},"step":{_text(step)},"target":{named or "null"},'
            f'"workflow":{_text(workflow)}}}'
        )
        shared = {
            "at": at, "actor": actor, "connection": connection, "workflow": workflow, "step": step, "kind": kind,
            "status": status, "request": request, "attempts": attempts, "ms": ms, "revision": revision, "key": key,
            "target": named, "response": answer,
        }  # fmt: skip
        frame = self._frames[alike] = _Frame(head, middle, tail, shared, target, [])
        return frame

    def _append(self, frame: _Frame, record: str | None, ident: str | None, profile: str | None) -> None:
        self._seq += 1
        packed = None if ident is None else pack_operation_id(ident)
        before = self._hash.hex()
        entry = (
            f'{frame.head}{_text(ident)},"prev":"{before}","profile":{profile or "null"},"record":{_text(record)}'
            f"{frame.middle}{self._seq}{frame.tail}"
        )
        # Half a surrogate pair makes `canonical_json` escape all of an entry.
        data = canonical_json(json.loads(entry)) if "\\ud" in entry else entry.encode()
        self._hash = hashlib.sha256(before.encode() + data).digest()
        frame.rows.append((self._seq, record, packed, self._hash, profile))
        if self._seq - self._written >= AUDIT_BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        for frame in self._frames.values():
            statements.insert_rows(self._db, "audit", _OWN, frame.rows, shared=frame.shared)
            frame.rows.clear()
        self._written = self._seq

    def append_decision(self, decision: Decision, at: int) -> None:
        """Appends the entry of a decision."""
        # Through JSON and back: what is hashed now is what reading will give.
        detail = json.loads(canonical_json(dict(decision.detail)))
        self.append(
            at=at,
            kind=decision.kind,
            status="done",
            actor=decision.actor,
            connection=decision.connection,
            workflow=decision.workflow,
            step=decision.step,
            response={"detail": detail} if detail else None,
        )

    def append_operation(
        self,
        row: QueueRow,
        operation: Operation,
        status: str,
        at: int,
        detail: str | None,
        actor: str | None = None,
    ) -> None:
        """Appends the entry of an operation that was settled without a request."""
        self.append(
            at=at,
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

    def flush(self) -> None:
        """Writes what was appended, and where the chain ends now."""
        if self._seq > self._before:
            self._write()
            self._db.execute("UPDATE audit_head SET seq = ?, hash = ?", (self._seq, self._hash))


def write_decision(db: Transaction, decision: Decision, now: int) -> None:
    """Appends the entry of a decision."""
    chain = AuditChain(db)
    chain.append_decision(decision, now)
    chain.flush()


def chain_hash(before: bytes, entry: Mapping[str, Any]) -> bytes:
    """The hash of an entry (without `prev` and `hash`) that follows the one with the hash `before`."""
    prev = before.hex()
    return hashlib.sha256(prev.encode() + canonical_json({**entry, "prev": prev})).digest()


def response_document(status: int | None, body: bytes | None, detail: str | None) -> dict[str, Any] | None:
    """What an entry says of an answer: {status, body} where there was one, and `detail`."""
    response: dict[str, Any] = {}
    if status is not None:
        response["status"] = status
    if body is not None:
        response["body"] = decode_body(body)
    if detail:
        response["detail"] = detail
    return response or None


def decode_body(body: bytes) -> Any:
    """A body as JSON where it is JSON that can be written again, else as text."""
    if not body:
        return None
    try:
        value = _JSON.decode(body.decode())
        if body.count(b"{") + body.count(b"[") > DEEP_NESTING_LEVELS:
            # Deeper in the entry than here, it must still be possible to write it.
            canonical_json([[[value]]])
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large to be written again")
    return number


def _none(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_none)


def pack_operation_id(operation: str) -> bytes | str:
    """An operation id as it is stored: 16 bytes for 32 hex digits, anything else as it is."""
    try:
        packed = bytes.fromhex(operation)
    except ValueError:
        return operation
    return packed if packed.hex() == operation else operation


def unpack_operation_id(stored: bytes | str | None) -> str | None:
    """The operation id of `pack_operation_id`."""
    return stored.hex() if isinstance(stored, bytes) else stored
