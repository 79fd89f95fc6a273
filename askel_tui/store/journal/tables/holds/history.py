"""The history of holds, by workflow and step: what `core.hold_history` needs to know when one begins or ends.

Versions share it: what a repair released comes back under the version that was repaired.
"""

from __future__ import annotations

from askel_tui.core.hold_causes import hold_cause
from askel_tui.core.hold_history import HoldHistory, HoldTerms, note_begin, note_end
from askel_tui.store.journal.rows import Hold
from askel_tui.store.journal.transaction import Transaction


def begin(db: Transaction, hold: Hold, now: int) -> HoldTerms:
    """Notes that a hold begins; returns its terms. Where another version of the step is held alike, they are that
    one's."""
    about = hold_cause(hold.cause)
    others = db.execute(
        "SELECT cause, stays, repeats FROM holds WHERE workflow = ? AND step = ? AND version <> ?",
        (hold.workflow, hold.step, hold.version),
    ).fetchall()
    for cause, stays, repeats in others:
        other = hold_cause(cause)
        if (other.is_account_change, other.is_passing) == (about.is_account_change, about.is_passing):
            return HoldTerms(bool(stays), repeats)
    history, terms = note_begin(_read(db, hold), hold.cause, now)
    _write(db, hold, history)
    return terms


def end(db: Transaction, hold: Hold, now: int, *, by_itself: bool) -> None:
    """Notes that a hold ended."""
    _write(db, hold, note_end(_read(db, hold), hold.cause, now, by_itself=by_itself, stayed=hold.stays))


def _read(db: Transaction, hold: Hold) -> HoldHistory:
    row = db.execute(
        "SELECT released, returned, ended, repeats FROM hold_history WHERE workflow = ? AND step = ?",
        (hold.workflow, hold.step),
    ).fetchone()
    return HoldHistory() if row is None else HoldHistory(*row)


def _write(db: Transaction, hold: Hold, history: HoldHistory) -> None:
    key = (hold.workflow, hold.step)
    if history == HoldHistory():
        db.execute("DELETE FROM hold_history WHERE workflow = ? AND step = ?", key)
        return
    db.execute(
        "INSERT OR REPLACE INTO hold_history (workflow, step, released, returned, ended, repeats) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (*key, history.released, history.returned, history.ended, history.repeats),
    )
