"""Acceptances: one entry per commit and account, which commits to the records that were accepted in it.

`seal` writes them at the end of each transaction, so that one entry covers all that was committed together. What was
rolled back is left out: its number is free again, or belongs to another record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from askel_tui.store.journal.tables.audit.chain import SYSTEM_ACTOR
from askel_tui.store.journal.tables.audit.chains import ChainEnd, open_ends
from askel_tui.store.journal.tables.audit.commitments import ascii_json, entry_frame, entry_hash
from askel_tui.store.journal.transaction import Transaction, inserted_id

ACCEPT_KIND = "accept"

DIGEST_BYTES = 32


def seal(db: Transaction) -> None:
    """Writes what a transaction leaves to its end, just before it is committed: the entries of the records that it has
    accepted, and the ends of the chains."""
    ends = open_ends(db)
    if not db.accepted:
        ends.save()
        return
    accepted = dict(db.accepted)
    db.accepted.clear()
    newest = db.execute("SELECT seq, received FROM records ORDER BY seq DESC LIMIT 1").fetchone()
    last, received = newest or (0, 0)
    parts: dict[str, dict[int, bytes]] = {}
    for seq, (connection, part) in sorted(accepted.items()):
        if seq <= last:
            parts.setdefault(ends.of(connection, "acceptances").name, {})[seq] = part
    for name, by_seq in parts.items():
        _append(db, ends.named(name), by_seq, received)
        ends.moved()
    ends.save()


def _append(db: Transaction, end: ChainEnd, parts: dict[int, bytes], at: int) -> None:
    ranges, joined = to_ranges(list(parts)), b"".join(parts.values())
    number = end.number + 1
    digest = acceptance_hash(end.name, number, end.hash, at, ranges, joined)
    added = db.execute(
        "INSERT INTO acceptances (chain, number, before, at, ranges, parts, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (end.id, number, end.row, at, ascii_json(ranges), joined, digest),
    )
    end.number, end.hash, end.row = number, digest, inserted_id(added)


def acceptance_hash(
    chain: str, number: int, before: bytes, at: int, ranges: Sequence[Sequence[int]], parts: bytes
) -> bytes:
    """Computes the hash of an acceptance: an entry like any other, whose payload are the records' commitments."""
    frame = entry_frame(chain, at, SYSTEM_ACTOR, ACCEPT_KIND, "done", target=acceptance_target(ranges))
    return entry_hash(frame, number, before, hashlib.sha256(parts).digest())


def acceptance_target(ranges: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Returns what an acceptance names: the records, by ranges of their `seq`."""
    return {"type": "records", "ranges": ranges}


def to_ranges(seqs: Sequence[int]) -> list[list[int]]:
    """Writes rising numbers as ranges, each with its first and last one."""
    ranges: list[list[int]] = []
    for seq in seqs:
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    return ranges


def seqs_in(ranges: str) -> Iterator[int]:
    """Lists the numbers of stored ranges."""
    for first, last in json.loads(ranges):
        yield from range(first, last + 1)
