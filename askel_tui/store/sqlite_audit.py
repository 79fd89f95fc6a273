"""The audit's chain in the embedded journal: appending entries, and checking that none was changed.

An entry's hash is SHA-256 over the hash before it (hex) and the canonical JSON of the entry without its hash. In
there a request stands with the digest of its body, so that old bodies can be folded away and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.core.operations import Operation, canonical
from askel_tui.store.journal import Decision
from askel_tui.store.sqlite_operations import Row

ACTOR = "askel"
"""Who acts where neither a person nor a record's actor does."""

MANY_LEVELS = 100

_INSERT = (
    "INSERT INTO audit (seq, at, actor, connection, workflow, step, record, operation, kind, status, request, "
    "attempts, ms, revision, key, hash, profile, target, response) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """The request that carried an operation, as its audit entry shows it."""

    id: int
    method: str
    path: str
    digest: bytes
    revision: str
    key: str

    def shown(self) -> dict[str, Any]:
        """What the chain hashes of a request."""
        return {"id": self.id, "method": self.method, "path": self.path, "sha256": self.digest.hex()}


class Chain:
    """Appends entries within one write transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._seq, head = db.execute("SELECT seq, hash FROM audit_head").fetchone()
        self._hash: bytes = head
        self._grown = False

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
        sent: Sent | None = None,
        response: Mapping[str, Any] | None = None,
        attempts: int = 0,
        ms: int | None = None,
    ) -> None:
        """Appends one entry; `close` writes the head."""
        self._seq += 1
        profile = None if operation is None else operation.profile.identifiers()
        target = (
            operation.target.as_dict() if operation is not None and operation.target is not None else None
        )
        entry = {
            "seq": self._seq,
            "at": at,
            "actor": actor or ACTOR,
            "connection": connection,
            "workflow": workflow,
            "step": step,
            "record": record,
            "operation": None if operation is None else operation.id,
            "kind": kind,
            "profile": profile,
            "target": target,
            "request": None if sent is None else sent.shown(),
            "status": status,
            "response": response or None,
            "attempts": attempts,
            "ms": ms,
            "revision": None if sent is None else sent.revision,
            "key": None if sent is None else sent.key,
        }
        self._hash = chained(self._hash, entry)
        self._grown = True
        self._db.execute(
            _INSERT,
            (
                self._seq, at, entry["actor"], connection, workflow, step, record,
                None if operation is None else packed_id(operation.id), kind, status,
                None if sent is None else sent.id, attempts, ms, entry["revision"], entry["key"], self._hash,
                None if profile is None else canonical(profile).decode(),
                None if target is None else canonical(target).decode(),
                None if not response else canonical(response).decode(),
            ),
        )  # fmt: skip

    def decision(self, decision: Decision, at: int) -> None:
        """Appends the entry of a decision."""
        # Through JSON and back: what is hashed now is what reading will give.
        detail = json.loads(canonical(dict(decision.detail)))
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

    def operation(
        self,
        row: Row,
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

    def close(self) -> None:
        """Writes where the chain ends now."""
        if self._grown:
            self._db.execute("UPDATE audit_head SET seq = ?, hash = ?", (self._seq, self._hash))


def decide(db: sqlite3.Connection, decision: Decision, now: int) -> None:
    """Appends the entry of a decision."""
    chain = Chain(db)
    chain.decision(decision, now)
    chain.close()


def chained(before: bytes, entry: Mapping[str, Any]) -> bytes:
    """The hash of an entry (without `prev` and `hash`) that follows the one with the hash `before`."""
    prev = before.hex()
    return hashlib.sha256(prev.encode() + canonical({**entry, "prev": prev})).digest()


def told(status: int | None, body: bytes | None, detail: str | None) -> dict[str, Any] | None:
    """What an entry says of an answer: {status, body} where there was one, and `detail`."""
    response: dict[str, Any] = {}
    if status is not None:
        response["status"] = status
    if body is not None:
        response["body"] = readable(body)
    if detail:
        response["detail"] = detail
    return response or None


def readable(body: bytes) -> Any:
    """A body as JSON where it is JSON that can be written again, else as text."""
    if not body:
        return None
    try:
        value = _JSON.decode(body.decode())
        if body.count(b"{") + body.count(b"[") > MANY_LEVELS:
            # Deeper in the entry than here, it must still be possible to write it.
            canonical([[[value]]])
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


def packed_id(operation: str) -> bytes | str:
    """An operation id as it is stored: 16 bytes for 32 hex digits, anything else as it is."""
    try:
        packed = bytes.fromhex(operation)
    except ValueError:
        return operation
    return packed if packed.hex() == operation else operation


def unpacked_id(stored: bytes | str | None) -> str | None:
    """The operation id of `packed_id`."""
    return stored.hex() if isinstance(stored, bytes) else stored
