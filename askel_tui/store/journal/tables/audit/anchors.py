"""Anchors: where chains begin whose oldest entries were pruned. The newest marker entry names them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.states import DECISION_KIND
from askel_tui.store.journal.tables.audit.chain import SYSTEM_ACTOR, write_decision
from askel_tui.store.journal.tables.audit.chains import FIRST_CHAIN, FIRST_CHAIN_ID
from askel_tui.store.journal.transaction import Transaction

PRUNE_MARKER_KIND = "fold"
"""The kind of the marker entries."""

_MARKER = (
    f"SELECT response, seq FROM audit INDEXED BY audit_decision WHERE {DECISION_KIND} AND kind = '{PRUNE_MARKER_KIND}' "
    "ORDER BY seq DESC LIMIT 1"
)


class Anchor(NamedTuple):
    """The last entry of a chain that was pruned: its number, its hash and the row that it had."""

    number: int
    hash: bytes
    row: int


def chain_anchors(db: Transaction) -> dict[str, Anchor]:
    """Returns the anchors of the chains that something was pruned of, by the chain's name."""
    row = db.execute(_MARKER).fetchone()
    if row is None or row[0] is None:
        return {}
    detail = json.loads(row[0])["detail"]
    if "chains" not in detail:
        # A marker of version 0.1.0, which had one chain.
        return {FIRST_CHAIN: Anchor(detail["through"], bytes.fromhex(detail["hash"]), detail["through"])}
    return {
        each["chain"]: Anchor(each["through"], bytes.fromhex(each["hash"]), each["row"])
        for each in detail["chains"]
    }


def old_ends(db: Transaction, before: int) -> tuple[int, int, dict[str, Anchor]]:
    """Finds the rows up to which all entries, and all acceptances, are older than a time, and for each chain the last
    entry among these."""
    (entry,) = db.execute(
        "SELECT coalesce((SELECT min(seq) - 1 FROM audit WHERE at >= ?), (SELECT seq FROM audit_head))",
        (before,),
    ).fetchone()
    (acceptance,) = db.execute(
        "SELECT coalesce((SELECT min(id) - 1 FROM acceptances WHERE at >= ?), (SELECT max(id) FROM acceptances), 0)",
        (before,),
    ).fetchone()
    found = {}
    for rows, key, number, through in (
        ("audit", "seq", "coalesce(e.number, e.seq)", entry),
        ("acceptances", "id", "e.number", acceptance),
    ):
        last = f"SELECT max({key}) FROM {rows} WHERE {key} <= ? GROUP BY coalesce(chain, {FIRST_CHAIN_ID})"
        ends = db.execute(
            f"SELECT c.name, {number}, e.hash, e.{key} FROM {rows} e "
            f"JOIN audit_chains c ON c.id = coalesce(e.chain, {FIRST_CHAIN_ID}) WHERE e.{key} IN ({last})",
            (through,),
        )
        found.update({name: Anchor(*end) for name, *end in ends})
    return int(entry), int(acceptance), found


def write_marker(db: Transaction, through: int, ends: Mapping[str, Anchor], now: int) -> bool:
    """Writes the marker before entries are deleted. Returns False where one says all that is to be said."""
    known = chain_anchors(db)
    new = {name: end for name, end in ends.items() if name not in known or known[name].number < end.number}
    marker = db.execute(_MARKER).fetchone()
    if not new and (marker is None or marker[1] > through):
        return False
    count = sum(
        end.number - (known[name].number if name in known else 0)
        for name, end in new.items()
        if not name.endswith("/acceptances")
    )
    anchors: Sequence[tuple[str, Anchor]] = sorted((known | new).items())
    detail = {
        "through": through,
        "entries": count,
        "chains": [
            {"chain": name, "through": each.number, "hash": each.hash.hex(), "row": each.row}
            for name, each in anchors
        ],
    }
    write_decision(db, Decision(PRUNE_MARKER_KIND, SYSTEM_ACTOR, detail=detail), now)
    return True
