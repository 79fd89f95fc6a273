"""Reading the audit, with filters that use an index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from askel_tui.core.operations import STEP_KINDS
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.store.journal.states import DECISION_KIND, RARE_STATUS, UNCOMMON_STATUS
from askel_tui.store.journal.tables.audit.anchors import Anchor, chain_anchors
from askel_tui.store.journal.tables.audit.chains import FIRST_CHAIN_ID
from askel_tui.store.journal.tables.audit.commitments import commitment, payload_bytes
from askel_tui.store.journal.tables.audit.encoding import decode_body, unpack_operation_id
from askel_tui.store.journal.transaction import Transaction

COLUMNS = (
    "a.seq, a.at, a.actor, a.connection, a.workflow, a.step, a.record, a.operation, a.kind, a.profile, a.target, "
    "a.status, a.response, a.attempts, a.ms, a.revision, a.key, a.hash, a.request, r.method, r.path, r.digest, "
    "a.chain, a.number, a.before, a.salt, a.erased, a.claimed"
)
_NAMED = (
    f"{COLUMNS}, (SELECT c.name FROM audit_chains c WHERE c.id = coalesce(a.chain, {FIRST_CHAIN_ID})), "
    "(SELECT p.hash FROM audit p WHERE p.seq = coalesce(a.before, a.seq - 1))"
)

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
        f"SELECT {_NAMED} FROM audit a {index} LEFT JOIN requests r ON r.id = a.request "
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
    if wanted.actor is not None:
        conditions.append(
            "(a.actor = :actor OR a.claimed = :actor OR substr(a.actor, -length(:actor) - 1) = ':' || :actor)"
        )
        parameters["actor"] = wanted.actor
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
        searched = (
            "actor",
            "claimed",
            "workflow",
            "step",
            "record",
            "kind",
            "status",
            "profile",
            "target",
            "response",
        )
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
    anchors: Mapping[str, Anchor] | None = None
    for row in rows:
        fields, (chain, prev) = entry_fields(row), row[-2:]
        request = fields["request"]
        if request is not None:
            # The entries of a packed request share its body.
            if request["id"] not in bodies:
                bodies[request["id"]] = _body(db, request["id"])
            fields["request"] = request | bodies[request["id"]]
        if prev is None:
            # The entry before was pruned, or there never was one.
            anchors = chain_anchors(db) if anchors is None else anchors
            anchor = anchors.get(chain)
            prev = bytes(32) if anchor is None or anchor.number != fields["seq"] - 1 else anchor.hash
        payload = entry_payload(row)
        yield AuditEntry(
            **fields,
            chain=chain,
            position=row[0],
            payload=None if payload is None else payload.hex(),
            prev=prev.hex(),
            hash=row[17].hex(),
            claimed=row[27],
        )


def _body(db: Transaction, request: int) -> dict[str, Any]:
    (body,) = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
    return {"body": None, "folded": True} if body is None else {"body": decode_body(body)}


def entry_fields(row: tuple[Any, ...]) -> dict[str, Any]:
    """Reads the fields that an entry's hash covers, in whichever way."""
    (
        seq, at, actor, connection, workflow, step, record, operation, kind, profile, target, status, response,
        attempts, ms, revision, key, _, request, method, path, digest, _, number,
    ) = row[:24]  # fmt: skip
    return {
        "seq": number or seq, "at": at, "actor": actor, "connection": connection, "workflow": workflow, "step": step,
        "record": record, "operation": unpack_operation_id(operation), "kind": kind, "profile": _parsed(profile),
        "target": _parsed(target), "request": _request(request, method, path, digest), "status": status,
        "response": _parsed(response), "attempts": attempts, "ms": ms, "revision": revision, "key": key,
    }  # fmt: skip


def entry_payload(row: tuple[Any, ...]) -> bytes | None:
    """Returns the commitment to an entry's payload; None where the entry is of version 0.1.0."""
    profile, response, chain, salt, erased = row[9], row[12], row[22], row[25], row[26]
    if chain is None:
        return None
    return bytes(erased) if salt is None else commitment(salt, payload_bytes(profile, response))


def _request(
    request: int | None, method: str | None, path: str | None, digest: bytes | None
) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"id": request, "method": method, "path": path, "sha256": None if digest is None else digest.hex()}


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
