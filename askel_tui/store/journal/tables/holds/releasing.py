"""Ending holds: what they keep waits again or is discarded, unless something else keeps it."""

from __future__ import annotations

from dataclasses import replace

from askel_tui.core.hold_causes import Cause, HoldReason, hold_cause
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.store.journal.states import HELD, OTHER_IDENTITY, UNMATCHED, WAITING
from askel_tui.store.journal.tables import notices, operations, superseded
from askel_tui.store.journal.tables.counters import connections_of
from askel_tui.store.journal.tables.holds import history, placing
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

OWN_ACTOR = "askel"
"""The actor of decisions that no person made."""

_RELEASE = (
    f"UPDATE operations SET state = {WAITING}, hold = NULL, due = 0, since = 0 "
    f"WHERE workflow = :workflow AND version = :version AND hold = :step AND state = {HELD} "
    f"AND connection = :connection AND mark NOT IN ({UNMATCHED}, {OTHER_IDENTITY})"
)
_OBSTACLE = (
    "SELECT mark, count(*) FROM operations WHERE workflow = ? AND version = ? AND hold = ? "
    f"AND state = {HELD} AND mark IN ({UNMATCHED}, {OTHER_IDENTITY}) GROUP BY mark ORDER BY mark"
)


def release_one(
    db: Transaction, workflow: str, step: str, now: int, *, version: int | None = None
) -> int | None:
    """Lets the oldest operation of a held step wait again and returns its `seq`, None without one; the hold stays.

    An operation that is to be tried again is held again. Without a version it is the oldest of any version.
    """
    with UnitOfWork(db, now) as work:
        while (row := _oldest_held(db, workflow, step, version)) is not None:
            since = placing.entry_before(db, workflow, row.version, step)
            superseded.drop_superseded(work, [row], since)
            if operations.find_row(db, row.seq) is not None:
                operations.set_state(work, row, WAITING)
                return row.seq
    return None


def _oldest_held(db: Transaction, workflow: str, step: str, version: int | None) -> QueueRow | None:
    """Finds the oldest operation of a step among those that its hold keeps."""
    found = db.execute(
        "SELECT seq FROM operations WHERE workflow = ? AND version = coalesce(?, version) AND hold = ? "
        f"AND step = ? AND state = {HELD} ORDER BY seq LIMIT 1",
        (workflow, version, step, step),
    ).fetchone()
    return None if found is None else operations.find_row(db, found[0])


def release_hold(
    db: Transaction, workflow: str, step: str, decision: Decision, now: int, *, version: int | None = None
) -> int:
    """Ends the hold of a step: its operations wait again, in order, unless another hold keeps them. Returns how many
    wait.

    Without a version the holds of all versions end. Where the decision names a cause, a hold that has another one by
    now stays, and so does one that waits for a person where no person decided.
    """
    with UnitOfWork(db, now) as work:
        return release_within(work, workflow, step, decision, version)


def release_within(
    work: UnitOfWork, workflow: str, step: str, decision: Decision, version: int | None = None
) -> int:
    """Ends the hold of a step as `release_hold` does, as part of a larger write."""
    db, by_itself = work.db, decision.actor == OWN_ACTOR
    ended = db.execute(
        "DELETE FROM holds WHERE workflow = ? AND version = coalesce(?, version) AND step = ? "
        f"AND cause = coalesce(?, cause) AND NOT (stays AND ?) RETURNING entry, {placing.READ_COLUMNS}",
        (workflow, version, step, decision.detail.get("cause"), by_itself),
    ).fetchall()
    if not ended:
        return 0
    work.audit.append_decision(decision)
    total = 0
    for since, *columns in ended:
        hold = placing.decode_hold(columns)
        history.end(db, hold, work.now, by_itself=by_itself)
        candidates = superseded.superseded_candidates(db, workflow, hold.version, step, since)
        superseded.drop_superseded(work, candidates, since)
        released = 0
        for connection in connections_of(db, workflow):
            bounds = {
                "workflow": workflow, "version": hold.version, "step": step, "connection": connection,
            }  # fmt: skip
            number = db.execute(_RELEASE, bounds).rowcount
            work.counters.add(workflow, connection, waiting=number, held=-number)
            released += number
        released -= placing.apply_holds(work, workflow)
        notices.add_release_notice(db, hold, decision.actor, released, work.now)
        total += released
        _hold_again(work, hold, since, by_itself=by_itself)
    return total


def _hold_again(work: UnitOfWork, hold: Hold, entry: int, *, by_itself: bool) -> None:
    """Holds again what another cause keeps: what neither plan may send, which no release lets go, and what a person
    holds, where the hold ended by itself."""
    left = work.db.execute(_OBSTACLE, hold.key).fetchall()
    reasons = [_obstacle(mark) for mark, _ in left]
    by_person = [each for each in hold.others if by_itself and each.cause == Cause.PERSON]
    first = next(iter((*reasons, *by_person)), None)
    if first is None:
        return
    kept = replace(
        hold,
        cause=first.cause,
        detail=first.detail,
        since=work.now,
        waiting=sum(number for _, number in left),
        until=None,
        stays=False,
        repeats=0,
        incident="",
    )
    placing.insert_hold(work, kept, entry=entry)
    placing.set_other_reasons(work.db, hold.key, [*reasons, *by_person], work.now)
    if by_person:
        placing.apply_hold(work, *hold.key)
    placing.announce_hold(work, kept)


def _obstacle(mark: int) -> HoldReason:
    return HoldReason(placing.OBSTACLE_CAUSES[mark], placing.OBSTACLE_DETAILS[mark])


def name_obstacles(work: UnitOfWork, hold: Hold) -> None:
    """Gives a hold, after re-planning, the obstacles that its operations still have, beside its other reasons."""
    left = [_obstacle(mark) for mark, _ in work.db.execute(_OBSTACLE, hold.key)]
    reasons = [*left, *(each for each in hold.reasons if not hold_cause(each.cause).needs_replan)]
    if not reasons:
        return
    if hold_cause(hold.cause).needs_replan:
        work.db.execute(
            f"UPDATE holds SET cause = ?, detail = ? WHERE {placing.OF_STEP}",
            (reasons[0].cause, reasons[0].detail, *hold.key),
        )
    placing.set_other_reasons(work.db, hold.key, reasons, work.now)


def delete_hold(work: UnitOfWork, hold: Hold) -> None:
    """Deletes a hold that keeps nothing, because a newer version was activated."""
    work.db.execute(f"DELETE FROM holds WHERE {placing.OF_STEP}", hold.key)
    history.end(work.db, hold, work.now, by_itself=False)
