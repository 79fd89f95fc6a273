"""Consent in doubt is read back while it is held: what shows in the account needs nobody to decide about it.

The looks come less and less often, and go on for as long as the hold stands: a person may be away for the weekend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.reads import consent
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.journal.rows import Hold, SettledOperation
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

IN_DOUBT = "in_doubt"

FIRST_READ_MS = 15_000
"""How long after the hold the account is asked first; the time doubles from look to look."""

MAX_READ_INTERVAL_MS = 3_600_000
"""The longest time between two looks, in milliseconds."""

ROUND_INTERVAL_MS = 1_000
"""The shortest time between two rounds."""

MAX_OPERATIONS_PER_READ = 1_000
"""Operations read back in one look."""


@dataclass(slots=True)
class _Look:
    """When a held step is looked at next, and how long the wait after that is."""

    due: int
    wait: int


class ConsentInDoubt:
    """Follows what was held in doubt, for the engine that owns the instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._looks: dict[tuple[str, str, int], _Look] = {}
        self._round = 0

    async def run_round(self) -> None:
        """One round: asks the account about what is due. Raises only what the journal or the state raise."""
        now = self._instance.clock()
        if 0 <= now - self._round < ROUND_INTERVAL_MS:
            return
        self._round = now
        holds = {
            (hold.workflow, hold.step, hold.since): hold
            for hold in await self._instance.journal.holds()
            if hold.cause == IN_DOUBT
        }
        self._looks = {key: look for key, look in self._looks.items() if key in holds}
        for key, hold in holds.items():
            one = self._looks.setdefault(key, _Look(now + FIRST_READ_MS, FIRST_READ_MS))
            if not now < one.due <= now + MAX_READ_INTERVAL_MS:
                one.wait = min(one.wait * 2, MAX_READ_INTERVAL_MS)
                one.due = now + one.wait
                await self._look_at(hold)

    async def _look_at(self, hold: Hold) -> None:
        journal = self._instance.journal
        held = await journal.attempted_held_operations(hold.workflow, hold.step, MAX_OPERATIONS_PER_READ)
        doubtful = [each for each in held if (each.reason or "").endswith(consent.UNKNOWN_OUTCOME_REASON)]
        if doubtful:
            try:
                client = await self._instance.client(hold.connection)
                if client is None:
                    return
                asked = [each.operation for each in doubtful]
                shown = await consent.find_shown_operations(client, asked, priority="bulk")
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
        if len(held) < MAX_OPERATIONS_PER_READ:
            arguments = {"workflow": hold.workflow, "step": hold.step, "cause": IN_DOUBT}
            await journal.submit_command("release", arguments, "askel", self._instance.clock())
            log.info("%s step %s: nothing of it is in doubt any more", hold.workflow, hold.step)
