"""Reading the audit: filters that use an index, and the check of the chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from askel_tui.core.operations import STEP_KINDS
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.store.journal.states import DECISION_KIND, RARE_STATUS, UNCOMMON_STATUS
from askel_tui.store.journal.tables import retention
from askel_tui.store.journal.tables.audit.chain import chain_hash
from askel_tui.store.journal.tables.audit.encoding import decode_body, unpack_operation_id
from askel_tui.store.journal.transaction import Transaction

CHECK_BATCH_ROWS = 5_000
"""The number of entries that are checked in one read, so that no read keeps the write-ahead log from being emptied."""

_COLUMNS = (
    "a.seq, a.at, a.actor, a.connection, a.workflow, a.step, a.record, a.operation, a.kind, a.profile, a.target, "
    "a.status, a.response, a.attempts, a.ms, a.revision, a.key, a.hash, a.request, r.method, r.path, r.digest, "
    "(SELECT p.hash FROM audit p WHERE p.seq = a.seq - 1)"
)
_ZERO = bytes(32)

DIFFERS = """a.response IS NOT NULL AND instr(a.response, '"differences":[') AND
coalesce(json_type(a.response, '$.differences'), json_type(a.response, '$.detail.differences')) = 'array'"""
"""The condition of entries of which Klaviyo's answer differs from what was sent."""


def read_entries(
    db: Transaction, wanted: AuditFilter, after: int, limit: int, newest: bool
) -> tuple[list[AuditEntry], int]:
    """Reads entries with a higher `seq` than `after` in order (with `newest` the last ones), and the `seq` of the
    chain's end."""
    (head,) = db.execute("SELECT seq FROM audit_head").fetchone()
    index, conditions, parameters = filter_conditions(wanted)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit a {index} LEFT JOIN requests r ON r.id = a.request "
        f"WHERE {' AND '.join(['a.seq > :after', *conditions])} "
        f"ORDER BY a.seq {'DESC' if newest else 'ASC'} LIMIT :limit",
        {**parameters, "after": after, "limit": limit},
    ).fetchall()
    if newest:
        rows.reverse()
    return list(_entries(db, rows)), head


def audit_entries(
    db: Transaction, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
) -> list[AuditEntry]:
    """Reads entries with a higher `seq` than `after` in order; `newest` gives the last `limit` of them, still in
    order."""
    return read_entries(db, wanted, after, limit, newest)[0]


def filter_conditions(wanted: AuditFilter) -> tuple[str, list[str], dict[str, Any]]:
    """Makes the parts of a query over `audit a`: the index to walk, the conditions and their parameters."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for name in ("connection", "workflow", "step", "record", "status", "kind"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(f"a.{name} = :{name}")
            parameters[name] = value
    if wanted.since is not None:
        conditions += ["a.at >= :since", "a.seq >= (SELECT min(seq) FROM audit WHERE at >= :since)"]
        parameters["since"] = wanted.since
    if wanted.until is not None:
        conditions += ["a.at <= :until", "a.seq <= (SELECT max(seq) FROM audit WHERE at <= :until)"]
        parameters["until"] = wanted.until
    if wanted.profile is not None:
        conditions.append("instr(lower(a.profile), :profile)")
        parameters["profile"] = ":" + _lower(json.dumps(wanted.profile, ensure_ascii=False))
    if wanted.differing:
        conditions.append(DIFFERS)
    if wanted.text is not None:
        searched = ("actor", "workflow", "step", "record", "kind", "status", "profile", "target", "response")
        joined = " || ' ' || ".join(f"coalesce(a.{name}, '')" for name in searched)
        conditions.append(f"instr(lower({joined}), :text)")
        parameters["text"] = _lower(wanted.text)
    index, extra = _index(wanted)
    return index, conditions + extra, parameters


def _index(wanted: AuditFilter) -> tuple[str, list[str]]:
    """Chooses the index to walk, and a condition for its use; SQLite would guess without statistics."""
    rare = wanted.status in ("failed", "skipped", "discarded")
    if wanted.record is not None:
        return "INDEXED BY audit_record", []
    if wanted.workflow is not None and rare:
        return "INDEXED BY audit_rare", [RARE_STATUS.replace("status", "a.status")]
    if wanted.kind is not None and wanted.kind not in STEP_KINDS:
        return "INDEXED BY audit_decision", [f"a.{DECISION_KIND}"]
    if wanted.workflow is not None and wanted.step is not None:
        return "INDEXED BY audit_workflow_step", []
    if wanted.status is not None and (rare or wanted.status not in ("written", "unconfirmed", "done")):
        return "INDEXED BY audit_status", [f"a.{UNCOMMON_STATUS}"]
    for name in ("workflow", "step", "connection"):
        if getattr(wanted, name) is not None:
            return f"INDEXED BY audit_{name}", []
    if wanted.status == "done":
        return "INDEXED BY audit_status", [f"a.{UNCOMMON_STATUS}"]
    # Entries of a common kind are found soon in their own order.
    return "NOT INDEXED", []


def _lower(text: str) -> str:
    # SQLite's lower() knows ASCII letters only.
    return "".join(char.lower() if char.isascii() else char for char in text)


def _entries(db: Transaction, rows: list[tuple[Any, ...]]) -> Iterator[AuditEntry]:
    bodies: dict[int, dict[str, Any]] = {}
    for row in rows:
        fields, digest, prev = _fields(row), row[17], row[22]
        request = fields["request"]
        if request is not None:
            # The entries of a packed request share its body.
            if request["id"] not in bodies:
                bodies[request["id"]] = _body(db, request["id"])
            fields["request"] = request | bodies[request["id"]]
        yield AuditEntry(**fields, prev=(prev or _before(db, row[0])).hex(), hash=digest.hex())


def _before(db: Transaction, seq: int) -> bytes:
    """Returns the hash before an entry whose predecessor is not there: it was pruned, or there never was one."""
    anchor = retention.chain_anchor(db)
    return anchor[1] if anchor is not None and anchor[0] == seq - 1 else _ZERO


def _body(db: Transaction, request: int) -> dict[str, Any]:
    (body,) = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
    return {"body": None, "folded": True} if body is None else {"body": decode_body(body)}


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    """Reads an entry's fields as they were hashed."""
    (
        seq, at, actor, connection, workflow, step, record, operation, kind, profile, target, status, response,
        attempts, ms, revision, key, _, request, method, path, digest, _,
    ) = row  # fmt: skip
    return {
        "seq": seq, "at": at, "actor": actor, "connection": connection, "workflow": workflow, "step": step,
        "record": record, "operation": unpack_operation_id(operation), "kind": kind, "profile": _parsed(profile),
        "target": _parsed(target), "request": _request(request, method, path, digest), "status": status,
        "response": _parsed(response), "attempts": attempts, "ms": ms, "revision": revision, "key": key,
    }  # fmt: skip


def _request(
    request: int | None, method: str | None, path: str | None, digest: bytes | None
) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"id": request, "method": method, "path": path, "sha256": None if digest is None else digest.hex()}


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """The progress of checking the chain: the last entry that fits, its hash, and whether the check has ended."""

    seq: int = 0
    hash: bytes = _ZERO
    ended: bool = False
    broken: int | None = None
    start: int = 0
    """The entry after which checking began: the last one that was pruned."""
    request: int | None = None
    """The last request whose body was compared with its digest."""


def check_chain(db: Transaction, so_far: ChainCheck) -> ChainCheck:
    """Checks the next entries of the chain, from the first one that was not pruned."""
    anchor = retention.chain_anchor(db) if so_far.seq == 0 else None
    if anchor is not None:
        so_far = ChainCheck(*anchor, start=anchor[0])
    start = so_far.start
    head, head_hash = db.execute("SELECT seq, hash FROM audit_head").fetchone()
    seq, before, request = so_far.seq, so_far.hash, so_far.request
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit a LEFT JOIN requests r ON r.id = a.request "
        "WHERE a.seq > ? ORDER BY a.seq LIMIT ?",
        (seq, CHECK_BATCH_ROWS),
    )
    count = 0
    for row in rows:
        count += 1
        fits = row[0] == seq + 1 and _hash(before, row) == row[17]
        if fits and row[18] is not None and row[18] != request:
            fits, request = _body_fits(db, row[18], row[21]), row[18]
        if not fits:
            return ChainCheck(seq, before, ended=True, broken=seq + 1, start=start)
        seq, before = row[0], row[17]
    if count == CHECK_BATCH_ROWS:
        return ChainCheck(seq, before, request=request, start=start)
    # Where entries were cut off at the end, no entry has the hash of the head.
    whole = head == seq and head_hash == before
    return ChainCheck(seq, before, ended=True, broken=None if whole else min(seq, head) + 1, start=start)


def _hash(before: bytes, row: tuple[Any, ...]) -> bytes | None:
    try:
        return chain_hash(before, _fields(row))
    except (ValueError, AttributeError, TypeError):
        # A value that this program never wrote: it can't fit.
        return None


def _body_fits(db: Transaction, request: int, digest: bytes) -> bool:
    (body,) = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
    return body is None or hashlib.sha256(body).digest() == digest
