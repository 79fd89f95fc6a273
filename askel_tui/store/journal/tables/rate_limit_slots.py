"""Places in the budget's windows, shared by all processes, in the embedded journal.

`ends` is when a place counts as answered: a minute after its taking until the answer is known. A request's place has
the request's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from askel_tui.store.journal.transaction import Transaction

UNANSWERED_SLOT_MS = 60_000
"""When a place without an answer counts as answered."""


def add_slot(db: Transaction, account: str, call: str, now: int) -> int:
    """Takes note of a place without asking whether there is room; gives its id."""
    noted = db.execute(
        "INSERT INTO places (account, call, taken, ends) VALUES (?, ?, ?, ?)",
        (account, call, now, now + UNANSWERED_SLOT_MS),
    )
    if noted.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return noted.lastrowid


def take_slot(
    db: Transaction, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
) -> tuple[int | None, int]:
    """(place, 0), or (None, milliseconds to wait) where a window [(limit, milliseconds)] is full."""
    # The clock has stepped back over these: they count from now, else they would fill the window until it caught up.
    db.execute(
        "UPDATE places SET taken = :now, ends = CASE WHEN answered IS NULL THEN :now + :lost ELSE :now END, "
        "answered = CASE WHEN answered IS NULL THEN NULL ELSE :now END "
        "WHERE account = :account AND call = :call AND ends > :now + :lost",
        {"now": now, "lost": UNANSWERED_SLOT_MS, "account": account, "call": call},
    )
    wait = max((_wait(db, account, call, limit, window, now) for limit, window in windows), default=0)
    return (None, wait) if wait > 0 else (add_slot(db, account, call, now), 0)


def _wait(db: Transaction, account: str, call: str, limit: int, window: int, now: int) -> int:
    if limit < 1:
        return window
    # The window has room once the place that is `limit` from the newest has left it.
    row = db.execute(
        "SELECT ends FROM places INDEXED BY places_ends WHERE account = ? AND call = ? AND ends > ? "
        "ORDER BY ends DESC LIMIT 1 OFFSET ?",
        (account, call, now - window, limit - 1),
    ).fetchone()
    return 0 if row is None else max(1, int(row[0]) + window - now)


def release_slot(db: Transaction, slot: int, now: int) -> None:
    """The place's call was answered; only the first time counts."""
    db.execute("UPDATE places SET answered = ?, ends = ? WHERE id = ? AND answered IS NULL", (now, now, slot))


def taken_slots(db: Transaction, account: str, since: int) -> list[tuple[str, int, int | None]]:
    """(call, taken, answered) of places that were taken or answered at `since` or later."""
    return db.execute(
        "WITH RECURSIVE calls (call) AS (SELECT min(call) FROM places WHERE account = :account UNION ALL "
        "SELECT (SELECT min(call) FROM places WHERE account = :account AND call > calls.call) FROM calls "
        "WHERE calls.call IS NOT NULL) "
        "SELECT p.call, p.taken, p.answered FROM calls JOIN places p INDEXED BY places_ends "
        "ON p.account = :account AND p.call = calls.call AND p.ends >= :since ORDER BY p.id",
        {"account": account, "since": since},
    ).fetchall()


def count_occupied_slots(db: Transaction, account: str, call: str, since: int) -> int:
    """How many places of a call were taken or answered at `since` or later."""
    (count,) = db.execute(
        "SELECT count(*) FROM places INDEXED BY places_ends WHERE account = ? AND call = ? AND ends > ?",
        (account, call, since),
    ).fetchone()
    return int(count)


def expired_slots(db: Transaction, before: int, after: int, limit: int) -> list[int]:
    """Ids over `after` of places that ended before a time."""
    rows = db.execute(
        "SELECT id FROM places WHERE id > ? AND ends < ? ORDER BY id LIMIT ?", (after, before, limit)
    )
    return [place for (place,) in rows]


def delete_slots(db: Transaction, ids: Sequence[int]) -> int:
    """Drops places. Gives how many."""
    return sum(db.execute("DELETE FROM places WHERE id = ?", (place,)).rowcount for place in ids)
