"""What an export carries beyond the entries themselves, so that it can be verified elsewhere (docs/audit.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from askel_tui.store.journal import statements
from askel_tui.store.journal.tables.audit.acceptances import ACCEPT_KIND, DIGEST_BYTES, acceptance_target
from askel_tui.store.journal.tables.audit.anchors import chain_anchors
from askel_tui.store.journal.tables.audit.chain import SYSTEM_ACTOR
from askel_tui.store.journal.tables.audit.commitments import body_parts, payload_bytes
from askel_tui.store.journal.transaction import Transaction


def entry_evidence(db: Transaction, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Reads, by position, the salts and the exact texts of what entries commit to.

    The parts of a request's body are with the first of its entries here.
    """
    found: dict[int, dict[str, Any]] = {}
    requests: set[int] = set()
    rows = db.execute(
        "SELECT seq, salt, profile, response, request, chain FROM audit "
        "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (statements.json_list(positions),),
    )
    for position, salt, profile, response, request, chain in rows.fetchall():
        if chain is None:
            continue
        erased = salt is None
        found[position] = {
            "salt": None if erased else salt.hex(),
            "payload_text": None if erased else payload_bytes(profile, response).decode(),
        }
        if request is not None and request not in requests:
            requests.add(request)
            found[position]["parts"] = _request_parts(db, request)
    return found


def _request_parts(db: Transaction, request: int) -> list[Mapping[str, str]] | None:
    """Reads the parts of a request's body: the salt and the text of each, or the commitment where it was erased."""
    body, lengths, salts, erased = db.execute(
        "SELECT body, parts, salts, erased FROM requests WHERE id = ?", (request,)
    ).fetchone()
    if body is None or salts is None:
        return None
    gone = json.loads(erased or "{}")
    return [
        {"commitment": gone[str(index)]}
        if str(index) in gone
        else {"salt": salt.hex(), "text": part.decode()}
        for index, (salt, part) in enumerate(body_parts(body, json.loads(lengths), salts))
    ]


def acceptance_rows(db: Transaction, after: int, limit: int) -> list[dict[str, Any]]:
    """Reads acceptances with a higher id than `after`, in the form of entries. `at` is in milliseconds since 1970."""
    rows = db.execute(
        "SELECT a.id, c.name, a.number, a.at, a.ranges, a.parts, a.hash, "
        "(SELECT b.hash FROM acceptances b WHERE b.id = a.before) FROM acceptances a "
        "JOIN audit_chains c ON c.id = a.chain WHERE a.id > ? ORDER BY a.id LIMIT ?",
        (after, limit),
    ).fetchall()
    anchors = chain_anchors(db) if any(row[-1] is None for row in rows) else {}
    found = []
    for ident, chain, number, at, ranges, parts, digest, before in rows:
        anchor = anchors.get(chain)
        prev = before or (anchor.hash if anchor is not None and anchor.number == number - 1 else bytes(32))
        found.append(
            {
                "chain": chain, "seq": number, "position": ident, "at": at, "actor": SYSTEM_ACTOR,
                "kind": ACCEPT_KIND, "target": acceptance_target(json.loads(ranges)), "status": "done", "attempts": 0,
                "prev": prev.hex(), "hash": digest.hex(),
                "parts": [
                    {"commitment": parts[start : start + DIGEST_BYTES].hex()}
                    for start in range(0, len(parts), DIGEST_BYTES)
                ],
            }
        )  # fmt: skip
    return found
