"""The committer: writes settlements into the journal, and returns the changes that they make in the queue."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from askel_tui.core.hold_causes import KEY_CAUSES, Cause
from askel_tui.core.incidents import incident_of
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import DelayedOperation, Hold, SettledOperation, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.settlement.error_policy import backoff_ms
from askel_tui.sync.settlement.values import HeldOperations, OrphanedJob, QueueUpdate, Settlement
from askel_tui.text.times import format_timestamp

log = logging.getLogger(__name__)

MAX_OPERATIONS_PER_COMMIT = 1_000
"""The number of operations that end in one transaction, so that live ones do not wait behind a large job."""

LOG_INTERVAL_MS = 60_000
"""Time between two lines of the log about a connection's trouble, in milliseconds."""

_ENDS_WITH_SENDER = KEY_CAUSES | {Cause.RETIRED}
"""The causes that may be gone once another sender has taken over."""


@dataclass(slots=True)
class _Transaction:
    """The content of one call of `answer_request`."""

    settled: Sequence[SettledOperation] = ()
    hold: Hold | None = None
    held: Sequence[StoredOperation] = ()
    keep_carrying: bool = False
    delayed: Sequence[DelayedOperation] = ()


class Committer:
    """A committer of the settlements of one connection."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock) -> None:
        self._to = to
        self._journal = journal
        self._clock = clock
        self.retired = False
        """True if another sender took the connection over, maybe with another key."""
        self._logged_at: int | None = None

    async def commit(self, request: int | None, settlement: Settlement) -> QueueUpdate:
        """Commits the results of the operations of a request, or of none.

        It is one transaction, or several where many operations end or several steps are held: what is not settled
        yet stays in the request until the last one, and is in doubt after a crash.
        """
        now = self._clock()
        if any(ended.operation.warning for ended in settlement.ended):
            settlement = replace(settlement, ended=list(map(_with_warning, settlement.ended)))
        if settlement.decision is not None:
            log.error("%s: %s", self._to.name, settlement.decision.detail.get("detail"))
            await self._journal.write_decision(settlement.decision, now)
        if settlement.forgotten_profile is not None:
            await self._journal.forget_profile_id(self._to.name, settlement.forgotten_profile)
        update = QueueUpdate(done=[*settlement.unattempted, *settlement.stale], reload=bool(settlement.stale))
        held: list[HeldOperations] = []
        delayed: list[DelayedOperation] = []
        if settlement.held or settlement.retries:
            held, delayed = self._limit(settlement, now)
        released: list[DelayedOperation] = []
        if settlement.again and request is not None:
            again = chain.from_iterable(settlement.again)
            released = [DelayedOperation(each, now, settlement.again_reason) for each in again]
        holds = list(self._holds(held, now)) if held else []
        for part in _transactions(settlement, holds, [*delayed, *released, *settlement.waiting], now):
            await self._journal.answer_request(
                request,
                settled=part.settled,
                delayed=part.delayed,
                held=part.held,
                hold=part.hold,
                keep_carrying=part.keep_carrying,
                profiles=settlement.learned_profiles,
                connection=self._to.name,
                may_be_written=settlement.may_be_written,
                now=now,
            )
        for ended in settlement.ended:
            (update.stopped if _stops_record(ended) else update.done).append(ended.operation)
            # The journal has taken out of its record what was written since; that is read anew.
            update.reload |= _has_waited(ended)
        for each in held:
            if not each.keep_request_open:
                update.done += each.operations
            elif request is not None:
                update.orphaned.append(OrphanedJob(request, each.operations, self._to))
        for retry in settlement.retries:
            if retry.single_only:
                update.single_only.update(stored.seq for stored in retry.operations)
        update.again += [_tried_again(each, now) for each in delayed]
        update.parked += [_tried_again(each, now) for each in settlement.waiting]
        update.holds += [each.hold for each in holds if each.hold]
        return update

    def _limit(self, settlement: Settlement, now: int) -> tuple[list[HeldOperations], list[DelayedOperation]]:
        """Limits the retries and holds of a settlement as the connection's settings say.

        A step that has been in trouble for longer than `pause_after` is held instead of tried again, and what was
        refused for a key or at a revision that was replaced meanwhile is tried again instead of held.
        """
        held: list[HeldOperations] = []
        delayed: list[DelayedOperation] = []
        for each in settlement.held:
            if self.retired and each.cause in _ENDS_WITH_SENDER and not each.keep_request_open:
                delayed += [DelayedOperation(stored, now, each.detail) for stored in each.operations]
            else:
                held.append(each)
        for retry in settlement.retries:
            due, late = now, set[tuple[str, int, str]]()
            if retry.wait_ms != 0:
                attempts = max((stored.attempts for stored in retry.operations), default=0)
                due += backoff_ms(attempts, retry.wait_ms, self._to.timing)
                late = self._late_steps(retry.operations, now)
                self._log_trouble(retry.detail, now)
            worn_out = [stored for stored in retry.operations if _step(stored) in late]
            if worn_out:
                held.append(HeldOperations(worn_out, Cause.OUTAGE, retry.detail))
            in_time = [stored for stored in retry.operations if _step(stored) not in late]
            delayed += [DelayedOperation(stored, due, retry.detail) for stored in in_time]
        return held, delayed

    def _late_steps(self, operations: Sequence[StoredOperation], now: int) -> set[tuple[str, int, str]]:
        """Finds the steps of versions with an operation that has been in trouble for too long."""
        return {
            _step(stored)
            for stored in operations
            if stored.retrying_since
            and now - stored.retrying_since
            > self._to.pause_after_ms + 1_000 * stored.operation.body.get("within", 0)
        }

    def _log_trouble(self, detail: str, now: int) -> None:
        """Logs that operations are tried again: once, while the same trouble meets many."""
        if self._logged_at is None or not 0 <= now - self._logged_at < LOG_INTERVAL_MS:
            self._logged_at = now
            log.warning("%s: %s; it is tried again", self._to.name, detail.rstrip("."))

    def _holds(self, held: Sequence[HeldOperations], now: int) -> Iterator[_Transaction]:
        """Makes a transaction for each step to be held: a crash must not let consent in doubt be sent again."""
        for each in held:
            if each.keep_request_open and self.retired:
                continue
            by_step: dict[tuple[str, int, str], list[StoredOperation]] = {}
            for stored in each.operations:
                by_step.setdefault(_step(stored), []).append(stored)
            for key, operations in by_step.items():
                until = None if each.wait_ms is None else now + each.wait_ms
                detail = each.detail
                if until is not None:
                    detail = f"{detail} It asks to wait until {format_timestamp(until, zone=' UTC')}."
                incident = incident_of(
                    each.cause,
                    each.detail,
                    self._to.name,
                    account=self._to.account,
                    key=self._to.key,
                    revision=self._to.revision,
                )
                hold = Hold(self._to.name, *key, each.cause, detail, now, until=until, incident=incident)
                yield _Transaction(hold=hold, held=operations, keep_carrying=each.keep_request_open)


def _transactions(
    settlement: Settlement, holds: Sequence[_Transaction], delayed: Sequence[DelayedOperation], now: int
) -> list[_Transaction]:
    """Makes as few transactions as can write the settlement; none where there is nothing to write."""
    ended = settlement.ended
    found = [
        _Transaction(ended[start : start + MAX_OPERATIONS_PER_COMMIT])
        for start in range(0, len(ended), MAX_OPERATIONS_PER_COMMIT)
    ]
    for each in holds:
        if len(found) == 1 and found[0].hold is None:
            each.settled = found.pop().settled
        found.append(each)
    if delayed or settlement.learned_profiles:
        found = found or [_Transaction()]
        found[-1].delayed = delayed
    if settlement.unattempted:
        # They are written after the failure before them, so that the journal fails them with it.
        behind = [DelayedOperation(each, now, "its upsert failed") for each in settlement.unattempted]
        found.append(_Transaction(delayed=behind))
    return found


def _with_warning(ended: SettledOperation) -> SettledOperation:
    """Adds the warning of an operation to how it ended."""
    if ended.operation.warning is None:
        return ended
    kind, sentence = ended.operation.warning
    detail = f"{sentence}; {ended.detail}" if ended.detail else sentence
    return replace(ended, detail=detail, warning=kind)


def _step(stored: StoredOperation) -> tuple[str, int, str]:
    return stored.workflow, stored.version, stored.operation.step


def _stops_record(settled: SettledOperation) -> bool:
    """Checks whether the later operations of its record leave the queue with an operation: it failed, or is a gate that
    refused, or one that waited."""
    return (
        settled.outcome == "failed"
        or (settled.outcome == "skipped" and settled.operation.operation.is_gate)
        or _has_waited(settled)
    )


def _has_waited(settled: SettledOperation) -> bool:
    """Checks whether an operation is a gate that passed only when it was asked again."""
    stored = settled.operation
    return settled.outcome == "passed" and stored.operation.is_gate and stored.retrying_since > 0


def _tried_again(delayed: DelayedOperation, now: int) -> StoredOperation:
    """Makes the delayed operation as the journal has it by now. An immediate retry counts as no trouble."""
    stored = delayed.operation
    since = stored.retrying_since or (now if delayed.due > now else 0)
    return replace(stored, due=delayed.due, attempts=stored.attempts + 1, retrying_since=since)
