"""Appending to the audit, whose entries are chained by hashes so that a later change of one is found.

What an entry's hash covers is in `commitments`; to which chain an entry belongs, in `chains`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Operation, Target, decode_shared, split_encoded
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.tables.audit.chains import (
    FIRST_CHAIN,
    FIRST_CHAIN_ID,
    ChainEnd,
    ChainKind,
    all_chains,
    chain_name,
    find_account,
    open_ends,
)
from askel_tui.store.journal.tables.audit.commitments import (
    SALT_BYTES,
    commitment,
    entry_frame,
    entry_hash,
    payload_bytes,
    request_fields,
)
from askel_tui.store.journal.tables.audit.encoding import pack_operation_id, split_actor
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.transaction import Transaction

SYSTEM_ACTOR = "askel"
"""The actor of entries that neither a person nor a record's actor caused."""

AUDIT_BATCH_ROWS = 1_000
"""The number of entries that are gathered before they are written."""

JOIN_KIND = "join"
"""The kind of an entry that closes another chain."""

_OWN_COLUMNS = "seq, number, before, record, operation, hash, salt, profile"
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
        return request_fields(self.id, self.method, self.path, self.digest)


@dataclass(slots=True, eq=False)
class _Frame:
    """The shared part of entries that differ only in record, operation and profile, and their unwritten rows."""

    chain: ChainEnd
    text: tuple[str, str, str]
    """The text of the entries, around their own values."""
    response: str | None
    shared: Mapping[str, Any]
    target: Target | Mapping[str, Any] | None
    """The target of the entries: kept, so that no other target can come to have its `id()`."""
    rows: list[tuple[Any, ...]]


class AuditChain:
    """Appends entries within one write transaction; they are in the table once `flush` was called."""

    def __init__(self, db: Transaction, now: int) -> None:
        self._db = db
        self._now = now
        self._ends = open_ends(db)
        self._row = self._first = self._written = self._ends.row
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

    def append_join(self, connection: str | None, chain: str) -> None:
        """Closes a chain, with an entry in the connection's chain that says where it ended."""
        closed = self._ends.named(chain)
        closed.closed = True
        frame = self._frame(
            JOIN_KIND, "done", None, connection, None, None, None, None, None, 0, None, closed.as_target()
        )
        self._append(frame, None, None, None)

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
                kind, target = decode_shared(shared)
                attempts = row.attempts + (request is not None)
                frame = frames[alike] = self._frame(
                    kind, status, row.actor, row.connection, row.workflow, row.step, target, request, response,
                    attempts, ms,
                )  # fmt: skip
            self._append(frame, row.record, ident, profiles.get(row.seq, profile))

    def flush(self) -> None:
        """Writes the appended entries, and the new ends of the chains where nobody does so at the commit."""
        if self._row > self._first:
            self._write()
            self._ends.moved(self._row)
            if self._db.ends is None:
                self._ends.save()

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
        named: Mapping[str, Any] | None = None,
    ) -> _Frame:
        by, claimed = split_actor(actor or SYSTEM_ACTOR)
        answer = canonical_json(response).decode() if response else None
        request, revision, key = None, None, None
        if carried_by is not None:
            request, revision, key = carried_by.id, carried_by.revision, carried_by.key
        named = target.as_dict() if target is not None else named
        alike = (
            kind, status, actor, connection, workflow, step, id(target or named), request, answer, attempts, ms
        )  # fmt: skip
        frame = self._frames.get(alike)
        if frame is not None:
            return frame
        chain = self._ends.of(connection, "writes")
        text = entry_frame(
            chain.name, self._now, by, kind, status, connection, workflow, step, named,
            None if carried_by is None else carried_by.hashed_fields(), attempts, ms, revision, key, claimed,
        )  # fmt: skip
        shared = {
            "chain": chain.id, "at": self._now, "actor": by, "claimed": claimed, "connection": connection,
            "workflow": workflow, "step": step, "kind": kind, "status": status, "request": request,
            "attempts": attempts, "ms": ms, "revision": revision, "key": key, "response": answer,
            "target": None if named is None else canonical_json(named).decode(),
        }  # fmt: skip
        frame = self._frames[alike] = _Frame(chain, text, answer, shared, target or named, [])
        return frame

    def _append(self, frame: _Frame, record: str | None, ident: str | None, profile: str | None) -> None:
        salt = self._db.random_bytes(SALT_BYTES)
        chain = frame.chain
        payload = commitment(salt, payload_bytes(profile, frame.response))
        number = chain.number + 1
        digest = entry_hash(frame.text, number, chain.hash, payload, ident, record)
        self._row += 1
        packed = None if ident is None else pack_operation_id(ident)
        frame.rows.append((self._row, number, chain.row, record, packed, digest, salt, profile))
        chain.number, chain.hash, chain.row = number, digest, self._row
        if self._row - self._written >= AUDIT_BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        for frame in self._frames.values():
            statements.insert_rows(self._db, "audit", _OWN_COLUMNS, frame.rows, shared=frame.shared)
            frame.rows.clear()
        self._written = self._row


def write_decision(db: Transaction, decision: Decision, now: int) -> None:
    """Writes the audit entry of a decision that changes nothing else in the journal."""
    chain = AuditChain(db, now)
    chain.append_decision(decision)
    chain.flush()
    if decision.workflow and decision.detail.get("differences"):
        counters = CounterChanges()
        counters.add(decision.workflow, decision.connection or "", differing=1)
        counters.write(db)


def save_account(db: Transaction, connection: str, account: str | None, now: int) -> None:
    """Records which account a connection writes to; None while that is not known.

    Its own chains go on in the account's: a joint entry there says where each of them ended.
    """
    known = find_account(db, connection)
    if known == account:
        return
    if db.ends is not None:
        db.ends.forget(connection)
    if account is None:
        db.execute("DELETE FROM audit_accounts WHERE connection = ?", (connection,))
        return
    own = [] if known else [chain_name(db, connection, kind) for kind in get_args(ChainKind)]
    db.execute(
        "INSERT OR REPLACE INTO audit_accounts (connection, account) VALUES (?, ?)", (connection, account)
    )
    _join(db, connection, own, now)


def join_first_chain(db: Transaction, now: int) -> None:
    """Closes the chain of the entries of version 0.1.0, if there are any, with an entry in the home's chain."""
    db.execute(
        "INSERT INTO audit_chains (id, name, number, hash, last) SELECT ?, ?, seq, hash, seq FROM audit_head",
        (FIRST_CHAIN_ID, FIRST_CHAIN),
    )
    _join(db, None, [FIRST_CHAIN], now)


def _join(db: Transaction, connection: str | None, chains: Sequence[str], now: int) -> None:
    used = {end.name for end in all_chains(db) if end.number}
    work = AuditChain(db, now)
    for name in chains:
        if name in used:
            work.append_join(connection, name)
    work.flush()
