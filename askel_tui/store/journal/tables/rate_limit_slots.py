"""Rate-limit slots: calls that count against an account's windows, shared by all processes.

`ends` is when a slot counts as answered: a minute after its taking, until the answer is known. A request's slot has the
request's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from askel_tui.store.journal.statements import delete_rows
from askel_tui.store.journal.transaction import Transaction, inserted_id

UNANSWERED_SLOT_MS = 60_000
"""Time after which a slot without an answer counts as answered, in milliseconds."""

REALIGNED_MS = 120_000
"""Time for which slots are moved when the clock was set, in milliseconds: the longest window that matters, and more."""

CLOCK_SET_MS = 1_000
"""The difference, in milliseconds, from which on a slot is moved."""


def add_slot(db: Transaction, account: str, call: str, now: int) -> int:
    """Adds a slot whether or not there is room; returns its id."""
    return inserted_id(
        db.execute(
            "INSERT INTO slots (account, call, taken, ends, steady) VALUES (?, ?, ?, ?, ?)",
            (account, call, now, now + UNANSWERED_SLOT_MS, db.steady_ms() + UNANSWERED_SLOT_MS),
        )
    )


def take_slot(
    db: Transaction, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
) -> tuple[int | None, int]:
    """Takes a slot in the windows [(limit, milliseconds)] of a call.

    Returns (slot id, 0), or (None, milliseconds to wait) where a window is full. A slot counts from its taking until
    its answer plus the window; one that was never answered counts as answered a minute after its taking.
    """
    # The clock stepped back behind these slots: count them from now, or they would fill the window until it caught up.
    db.execute(
        "UPDATE slots SET taken = :now, ends = CASE WHEN answered IS NULL THEN :now + :lost ELSE :now END, "
        "answered = CASE WHEN answered IS NULL THEN NULL ELSE :now END "
        "WHERE account = :account AND call = :call AND ends > :now + :lost",
        {"now": now, "lost": UNANSWERED_SLOT_MS, "account": account, "call": call},
    )
    wait = max((_wait(db, account, call, limit, window, now) for limit, window in windows), default=0)
    return (None, wait) if wait > 0 else (add_slot(db, account, call, now), 0)


def _wait(db: Transaction, account: str, call: str, limit: int, window: int, now: int) -> int:
    if limit < 1:
        return window
    # The window has room once the slot that is `limit` from the newest has left it.
    row = db.execute(
        "SELECT ends FROM slots INDEXED BY slots_ends WHERE account = ? AND call = ? AND ends > ? "
        "ORDER BY ends DESC LIMIT 1 OFFSET ?",
        (account, call, now - window, limit - 1),
    ).fetchone()
    return 0 if row is None else max(1, int(row[0]) + window - now)


def release_slot(db: Transaction, slot: int, now: int) -> None:
    """Notes that the slot's call was answered; only the first time counts."""
    db.execute(
        "UPDATE slots SET answered = ?, ends = ?, steady = ? WHERE id = ? AND answered IS NULL",
        (now, now, db.steady_ms(), slot),
    )


def move_slots(db: Transaction, account: str, into: str) -> None:
    """Lets the slots that were taken under one account's name count for another."""
    db.execute("UPDATE slots SET account = ? WHERE account = ?", (into, account))


def realign_slots(db: Transaction, now: int) -> None:
    """Moves the slots of the last minutes to where they are on a clock that was set: `steady` says how old they are.

    On a machine that was started anew it may make one seem younger, which only waits longer.
    """
    steady = db.steady_ms()
    db.execute(
        "UPDATE slots SET taken = taken + moved.by, answered = answered + moved.by, ends = ends + moved.by FROM ("
        "SELECT id, :now - (:steady - steady) - ends AS by FROM slots WHERE steady BETWEEN :first AND :last) AS moved "
        "WHERE slots.id = moved.id AND abs(moved.by) > :tolerance",
        {
            "now": now,
            "steady": steady,
            "first": steady - REALIGNED_MS,
            "last": steady + UNANSWERED_SLOT_MS,
            "tolerance": CLOCK_SET_MS,
        },
    )


def taken_slots(db: Transaction, account: str, since: int) -> list[tuple[str, int, int | None]]:
    """Lists (call, taken, answered) of the account's slots, those of requests included, not older than `since`."""
    return db.execute(
        "WITH RECURSIVE calls (call) AS (SELECT min(call) FROM slots WHERE account = :account UNION ALL "
        "SELECT (SELECT min(call) FROM slots WHERE account = :account AND call > calls.call) FROM calls "
        "WHERE calls.call IS NOT NULL) "
        "SELECT s.call, s.taken, s.answered FROM calls JOIN slots s INDEXED BY slots_ends "
        "ON s.account = :account AND s.call = calls.call AND s.ends >= :since ORDER BY s.id",
        {"account": account, "since": since},
    ).fetchall()


def count_occupied_slots(db: Transaction, account: str, call: str, since: int) -> int:
    """Counts the slots of a call that were taken or answered at `since` or later."""
    (count,) = db.execute(
        "SELECT count(*) FROM slots INDEXED BY slots_ends WHERE account = ? AND call = ? AND ends > ?",
        (account, call, since),
    ).fetchone()
    return int(count)


def expired_slots(db: Transaction, before: int, after: int, limit: int) -> list[int]:
    """Lists ids over `after` of slots that ended before a time."""
    rows = db.execute(
        "SELECT id FROM slots WHERE id > ? AND ends < ? ORDER BY id LIMIT ?", (after, before, limit)
    )
    return [slot for (slot,) in rows]


def delete_slots(db: Transaction, ids: Sequence[int]) -> int:
    """Deletes slots. Returns how many."""
    return delete_rows(db, "slots", "id", ids)


def save_unanswered_calls(db: Transaction, calls: Sequence[tuple[str, str, int]]) -> None:
    """Replaces the list of the calls (account, call, since when) that Klaviyo does not answer the owner."""
    db.execute("DELETE FROM unanswered_calls")
    db.executemany("INSERT INTO unanswered_calls (account, call, since) VALUES (?, ?, ?)", list(calls))


def unanswered_calls(db: Transaction) -> list[tuple[str, str, int]]:
    """Lists the calls (account, call, since when) that Klaviyo does not answer the owner."""
    rows = db.execute("SELECT account, call, since FROM unanswered_calls ORDER BY account, since, call")
    return [(account, call, since) for account, call, since in rows]
