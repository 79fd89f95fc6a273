"""The notifier: delivers notices to each address in order, and tries again until they are delivered, across restarts.

The position of an address is in the journal and moves once a notice was delivered, so that a crash in between
delivers it again rather than never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace

from askel_tui.core import notices as texts
from askel_tui.core.backoff import backoff
from askel_tui.core.hold_causes import Cause
from askel_tui.core.incidents import key_of_incident
from askel_tui.core.notices import AffectedStep
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.store.journal.notice_rows import DeliveryPosition, Notice
from askel_tui.store.journal.rows import Hold, WorkflowState
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications import channels
from askel_tui.sync.notifications.addresses import Address, list_addresses
from askel_tui.sync.notifications.channels import DeliveryFailed, Message
from askel_tui.sync.periodic import Interval
from askel_tui.text.sanitizing import sanitize_sentence
from askel_tui.text.times import to_rfc3339

log = logging.getLogger(__name__)

REMIND_SETTING = "remind_hours"
REMIND_HOURS = (1, 6, 24)
"""The times after the notice of a cause at which the team is reminded of it, in hours, without a setting; after the
last one, once more each time that it has passed."""

MS_PER_HOUR = 3_600_000

MIN_ROUND_INTERVAL_MS = 500
"""The shortest time between two rounds, in milliseconds."""

MAX_AWAITED_ATTEMPTS = 3
"""The number of failed attempts after which `--until-idle` no longer waits for an address; it is still tried."""

TITLE_TEMPLATES = {
    "hold": "{step} is held",
    "reminder": "{step} is still held",
    "recovery": "{step} is held no longer",
    "warning": "look at {step}",
    "over": "{step} is as it was",
}

SendNotice = Callable[[str, Message, int], Awaitable[None]]


class Notifier:
    """Delivers the notices of an instance, for the engine that owns it."""

    def __init__(self, instance: Instance, send: SendNotice = channels.send) -> None:
        self._instance = instance
        self._send = send
        self._configured_stamp: object = None
        self._addresses: list[Address] = []
        self._configured: list[Address] | None = None
        self._remind_after_ms = [hours * MS_PER_HOUR for hours in REMIND_HOURS]
        self._gathers = True
        """True while notices wait for other steps of their cause."""
        self._interval = Interval()

    async def run_round(self) -> None:
        """Delivers the notices that are due. Raises only errors of the journal or the state."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, min(MIN_ROUND_INTERVAL_MS, self._instance.timing.gather_delay_ms)):
            return
        await self._read_addresses()
        if self._addresses:
            await self._instance.journal.add_reminders(self._remind_after_ms, now)
        results = await asyncio.gather(*map(self._deliver, self._addresses), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def has_pending(self) -> bool:
        """Checks whether an address that did not fail too often still waits for a notice.

        Asked where nothing else is left to do: so notices wait for no further steps from now on.
        """
        self._gathers = False
        await self._read_addresses()
        for address in self._addresses:
            at = await self._instance.journal.delivery(address.key, address.connection)
            if at.attempts < MAX_AWAITED_ATTEMPTS:
                waiting = await self._instance.journal.notices(at.seq)
                if any(address.wants(notice) for notice in waiting):
                    return True
        return False

    async def _read_addresses(self) -> None:
        """Reads the addresses anew where the state was changed."""
        stamp = self._instance.connections_stamp()
        if stamp == self._configured_stamp and stamp is not None:
            return
        settings = await asyncio.to_thread(self._instance.state.settings)
        hours = [float(settings[REMIND_SETTING])] if settings.get(REMIND_SETTING) else REMIND_HOURS
        self._remind_after_ms = [int(each * MS_PER_HOUR) for each in hours]
        found = list_addresses(settings, await asyncio.to_thread(self._instance.state.connections))
        if self._configured != found:
            # An address that is added again gets the notices from then on only.
            await self._instance.journal.forget_other_deliveries([each.key for each in found])
        self._configured = self._addresses = found
        self._configured_stamp = stamp

    async def _deliver(self, address: Address) -> None:
        journal, now = self._instance.journal, self._instance.clock()
        at = await journal.delivery(address.key, address.connection)
        if now < at.due <= now + self._instance.timing.max_retry_delay_ms:
            return
        done = at
        for notice in await journal.notices(at.seq):
            if address.wants(notice):
                if self._gathers and 0 <= self._instance.clock() - notice.at < self._gather_delay_ms(notice):
                    break
                try:
                    message = await self._build_message(notice, address.connection)
                    await self._send(address.url, message, self._instance.clock() // 1000)
                except DeliveryFailed as why:
                    await self._schedule_retry(address, done, why)
                    return
                await journal.save_delivery(address.key, DeliveryPosition(notice.seq))
                at = DeliveryPosition(notice.seq)
            done = replace(at, seq=notice.seq)
        if done.seq > at.seq:
            await journal.save_delivery(address.key, done)

    async def _schedule_retry(self, address: Address, at: DeliveryPosition, why: DeliveryFailed) -> None:
        timing = self._instance.timing
        due = self._instance.clock() + int(
            backoff(
                at.attempts, timing.first_retry_delay_ms, timing.max_retry_delay_ms, timing.random_fraction
            )
        )
        await self._instance.journal.save_delivery(
            address.key, DeliveryPosition(at.seq, at.attempts + 1, due, str(why))
        )
        shown = channels.redacted_address(address.url)
        log.warning("a notice could not be delivered to %s: %s; it is tried again", shown, why)

    def _gather_delay_ms(self, notice: Notice) -> int:
        """Returns how long a notice waits for what belongs to it."""
        timing = self._instance.timing
        is_outage = notice.kind == "hold" and notice.cause == Cause.OUTAGE
        return timing.outage_gather_ms if is_outage else timing.gather_delay_ms

    async def _build_message(self, notice: Notice, connection: str | None) -> Message:
        """Builds the message of a notice; an address of one connection hears of the steps of that one only."""
        kind, text, since = notice.kind, notice.text, notice.at
        shown = notice.connection if connection is None else connection
        affected = [AffectedStep(notice.workflow, notice.step, connection=notice.connection)]
        holds = [
            hold
            for hold in await self._instance.journal.holds()
            if kind in ("hold", "reminder")
            and hold.incident == notice.incident
            and connection in (None, hold.connection)
        ]
        if holds:
            first, since = holds[0], min(hold.since for hold in holds)
            affected = await self._affected_steps(holds, connection)
            stays = any(hold.stays for hold in holds)
            text = texts.hold_notice(shown, first.cause, first.detail, since, affected, stays=stays)
            text = text if kind == "hold" else f"Still so: {text}"
        elif connection is not None and kind in ("hold", "reminder"):
            text, affected = texts.incident_over_notice(shown, notice.detail or "", notice.at), []
        step = f"{affected[0].workflow}, step {affected[0].step}" if affected else "what was held"
        step += f" (and {len(affected) - 1} more)" if len(affected) > 1 else ""
        title = sanitize_sentence(f"Askel, {shown}: {TITLE_TEMPLATES.get(kind, '{step}').format(step=step)}")
        text = sanitize_sentence(text)
        document = {
            "id": notice.seq,
            "kind": kind,
            "at": to_rfc3339(notice.at),
            "since": to_rfc3339(since),
            "connection": shown,
            "connections": sorted({each.connection for each in affected} or {shown}),
            "cause": notice.cause,
            "steps": [asdict(each) for each in affected],
            "title": title,
            "text": text,
        }
        return Message(str(notice.seq), title, text, document)

    async def _affected_steps(self, holds: Sequence[Hold], connection: str | None) -> list[AffectedStep]:
        """Lists the steps of an incident. What is wrong with a key stops those too in which nothing waits."""
        steps = [AffectedStep(each.workflow, each.step, each.waiting, each.connection) for each in holds]
        key = key_of_incident(holds[0].incident)
        if key is not None:
            with_key = {doc.name for doc in self._instance.state.connections() if doc.key == key}
            for state in await self._instance.journal.workflow_states():
                if state.connection in with_key and connection in (None, state.connection):
                    steps += await self._steps_of(state)
        return texts.affected_steps(steps)

    async def _steps_of(self, state: WorkflowState) -> list[AffectedStep]:
        """Lists the steps of the version that runs."""
        if state.status == "draft" or state.version == DIRECT_VERSION:
            return []
        applied = await self._instance.applied_version(state.workflow, state.version)
        steps = () if applied is None else applied.workflow.steps
        return [AffectedStep(state.workflow, each.id, 0, state.connection) for each in steps]
