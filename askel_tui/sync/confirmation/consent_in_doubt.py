"""Consent in doubt is read back while it is held: where it shows in the account, nobody has to decide about it.

It is read less and less often, for as long as the hold stands: a person may be away for the weekend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from askel_tui.core.hold_causes import Cause
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.reads.consent import find_shown_operations
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.journal.rows import Hold, SettledOperation
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval
from askel_tui.sync.settlement.single_calls import UNKNOWN_OUTCOME_REASON

log = logging.getLogger(__name__)


MAX_READ_INTERVAL_MS = 3_600_000
"""The longest time between two reads, in milliseconds."""

MAX_OPERATIONS_PER_READ = 1_000


@dataclass(slots=True)
class _NextRead:
    """The time at which a held step is read next, and the wait before that, in milliseconds."""

    due: int
    wait: int


class ConsentInDoubt:
    """A worker that reads back consent which is held in doubt, for the engine that owns the instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._next_reads: dict[tuple[str, int, str, int], _NextRead] = {}
        self._interval = Interval()

    async def run_round(self) -> None:
        """Reads the account for the holds that are due. Raises only errors of the journal or the state."""
        now, timing = self._instance.clock(), self._instance.timing
        if not self._interval.elapsed(now, timing.confirmation_interval_ms):
            return
        holds = {
            (*hold.key, hold.since): hold
            for hold in await self._instance.journal.holds()
            if hold.cause == Cause.IN_DOUBT
        }
        self._next_reads = {key: each for key, each in self._next_reads.items() if key in holds}
        first = timing.first_read_back_ms
        for key, hold in holds.items():
            next_read = self._next_reads.setdefault(key, _NextRead(now + first, first))
            if not now < next_read.due <= now + MAX_READ_INTERVAL_MS:
                next_read.wait = min(next_read.wait * 2, MAX_READ_INTERVAL_MS)
                next_read.due = now + next_read.wait
                await self._read_back(hold)

    async def _read_back(self, hold: Hold) -> None:
        """Settles the operations whose effect the account shows; the hold ends once none of its operations is in
        doubt."""
        journal = self._instance.journal
        held = await journal.attempted_held_operations(
            hold.workflow, hold.version, hold.step, MAX_OPERATIONS_PER_READ
        )
        doubtful = [each for each in held if (each.reason or "").endswith(UNKNOWN_OUTCOME_REASON)]
        if doubtful:
            try:
                client = await self._instance.find_client(hold.connection)
                if client is None:
                    return
                operations = [each.operation for each in doubtful]
                shown = await find_shown_operations(client, operations, priority="bulk")
            except (KlaviyoError, UnknownConnection) as error:
                log.info("consent in doubt can't be read back now: %s", error)
                return
            settled = [
                SettledOperation(each, "written", detail=f"read back after doubt: {each.reason}")
                for each in doubtful
                if each.operation.id in shown
            ]
            if settled:
                await journal.answer_request(
                    None, settled=settled, connection=hold.connection, now=self._instance.clock()
                )
            if len(settled) < len(doubtful):
                return
        if not held and await self._is_in_doubt_elsewhere(hold):
            return
        if len(held) < MAX_OPERATIONS_PER_READ:
            arguments = hold.release_arguments()
            await journal.submit_command("release", arguments, "askel", self._instance.clock())
            log.info("%s step %s: nothing of it is in doubt any more", hold.workflow, hold.step)

    async def _is_in_doubt_elsewhere(self, hold: Hold) -> bool:
        """Checks whether the hold came from another version, where the operations in doubt still are."""
        return any(
            (each.workflow, each.cause, each.detail) == (hold.workflow, hold.cause, hold.detail)
            and each.version != hold.version
            and each.waiting
            for each in await self._instance.journal.holds()
        )
