"""Fills a journal's audit with entries like those of real work, and writes on at a steady rate: for measuring.

The chain's hashes are not real ones; everything else is as the journal writes it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.connection import connect
from askel_tui.store.sqlite.schema import prepare_schema

KINDS = {
    "tier": "upsert_profile",
    "welcome": "add_to_list",
    "points": "track_event",
    "not-vip": "require_segment",
}
STEPS = tuple(KINDS)
COLUMNS = (
    "seq", "at", "actor", "connection", "workflow", "step", "record", "operation", "kind", "status", "request",
    "attempts", "ms", "revision", "key", "hash", "profile", "target", "response",
)  # fmt: skip
INSERT = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
BATCH, BEAT_S = 50, 0.05


def entry(number: int) -> tuple[Any, ...]:
    """The entry of that number."""
    step = STEPS[number % 4]
    status = "failed" if number % 997 == 0 else "unconfirmed" if number % 50 == 0 else "written"
    profile = {"email": f"shopper{number // 4}@mapleandember.example", "external_id": f"S-{number // 4}"}
    target = {"id": "RxYz12", "name": "Welcome Flow", "type": "list"}
    response = {"status": 400, "detail": "the e-mail is invalid"} if status == "failed" else {"status": 202}
    return (
        number, 1_760_000_000_000 + number * 10, "askel", "maple-ember" if number % 10 else "north-star",
        "first-points-welcome" if number % 5 else "vip-gift", step, f"evt-{number // 4:07d}",
        number.to_bytes(16, "big"), KINDS[step], status, None, 1, 30 + number % 90, "2026-07-15",
        "sha256:0123456789ab", number.to_bytes(32, "big"), _json(profile), _json(target), _json(response),
    )  # fmt: skip


def fill(home: Path, rows: int) -> int:
    """Makes an audit of so many entries, unless there is one; gives how many there are."""
    db = connect(journal_file(home))
    prepare_schema(db, journal_file(home))
    present = _last(db)
    if present:
        db.close()
        return present
    db.execute("PRAGMA synchronous = OFF")
    for first in range(1, rows + 1, 50_000):
        _insert(db, range(first, min(first + 50_000, rows + 1)))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return rows


def follow(home: Path) -> None:
    """Writes 1,000 entries a second until it is ended."""
    db = connect(journal_file(home))
    last = _last(db)
    due = time.monotonic()
    while True:
        _insert(db, range(last + 1, last + BATCH + 1))
        last += BATCH
        due += BEAT_S
        time.sleep(max(0.0, due - time.monotonic()))


def _insert(db: sqlite3.Connection, numbers: range) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, _entries(numbers))
    db.execute("UPDATE audit_head SET seq = ?", (numbers[-1],))
    db.execute("COMMIT")


def _entries(numbers: range) -> Iterator[tuple[Any, ...]]:
    return map(entry, numbers)


def _last(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT ifnull(max(seq), 0) FROM audit").fetchone()
    return int(last)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
