"""Delivers notices: each address gets them in order, tried again until they are taken, across restarts.

How far an address has come is in the journal and moves once a notice was taken, so that a crash in between delivers
it again rather than never.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from askel_tui.core import notices as texts
from askel_tui.core.notices import Affected
from askel_tui.klaviyo.errors import inert
from askel_tui.store.journal.rows import HOLD_CAUSES, Delivery
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications import channels
from askel_tui.sync.notifications.channels import Message, Undelivered

log = logging.getLogger(__name__)

SETTING = "notify"
"""The setting with addresses for the notices of all connections: a list of URLs."""

REMIND_SETTING = "remind_hours"
REMIND_HOURS = 24
"""How long after the last word about a standing hold the team is reminded of it, without a setting."""

GATHER_MS = 1_000
"""How long a notice waits, so that other steps held for the same cause are named in it. Milliseconds, as all here."""

FIRST_WAIT_MS, LONGEST_WAIT_MS = 5_000, 15 * 60_000
"""Before a notice that was not taken is tried again; doubling, with jitter."""

ROUND_MS = 500
"""The shortest time between two rounds."""

GIVE_UP_WAITING = 3
"""After how many attempts nobody waits for an address any more (`--until-idle`); it is still tried."""

TITLES = {
    "hold": "{step} is held",
    "reminder": "{step} is still held",
    "recovery": "{step} is held no longer",
    "warning": "look at {step}",
    "over": "{step} is as it was",
}

Send = Callable[[str, Message, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where notices go: those of one connection, or of all."""

    url: str
    connection: str | None

    @property
    def key(self) -> str:
        """What stands for the address in the journal: it may hold a secret."""
        return hashlib.sha256(f"{self.connection or ''}\0{self.url}".encode()).hexdigest()[:32]

    def wants(self, notice: Mapping[str, Any]) -> bool:
        """Whether a notice is to be delivered here."""
        return not notice["quiet"] and self.connection in (None, notice["connection"])


class Notifier:
    """Delivers the notices of an instance, for the engine that owns it."""

    def __init__(self, instance: Instance, send: Send = channels.send) -> None:
        self._instance = instance
        self._send = send
        self._stamp: object = None
        self._addresses: list[Address] = []
        self._configured: list[Address] | None = None
        self._remind_ms = REMIND_HOURS * 3_600_000
        self._round: int | None = None

    async def round(self) -> None:
        """Delivers what is due. Raises only what the journal or the state raise."""
        now = self._instance.clock()
        if self._round is not None and 0 <= now - self._round < min(ROUND_MS, GATHER_MS):
            return
        self._round = now
        await self._configure()
        if self._addresses:
            await self._instance.journal.remind(now - self._remind_ms, now)
        results = await asyncio.gather(*map(self._deliver, self._addresses), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def pending(self) -> bool:
        """Whether a notice is still to be delivered to an address that takes them."""
        await self._configure()
        for address in self._addresses:
            at = await self._instance.journal.delivery(address.key, address.connection)
            if at.attempts < GIVE_UP_WAITING:
                waiting = await self._instance.journal.notices(at.seq)
                if any(address.wants(notice) for notice in waiting):
                    return True
        return False

    async def _configure(self) -> None:
        """Reads the addresses where the state was changed since."""
        stamp = self._instance.connections_stamp()
        if stamp == self._stamp and stamp is not None:
            return
        settings = await asyncio.to_thread(self._instance.state.settings)
        everywhere = [str(each) for each in settings.get(SETTING) or ()]
        self._remind_ms = int(float(settings.get(REMIND_SETTING) or REMIND_HOURS) * 3_600_000)
        found = [Address(url, None) for url in everywhere]
        for document in await asyncio.to_thread(self._instance.state.connections):
            # An address that is everywhere gets each notice once.
            found += [Address(url, document.name) for url in document.notify if url not in everywhere]
        found = list(dict.fromkeys(found))
        if self._configured != found:
            # An address that comes back hears of what stands then, not of old stories.
            await self._instance.journal.keep_deliveries([each.key for each in found])
        self._configured = self._addresses = found
        self._stamp = stamp

    async def _deliver(self, address: Address) -> None:
        journal, now = self._instance.journal, self._instance.clock()
        at = await journal.delivery(address.key, address.connection)
        if now < at.due <= now + LONGEST_WAIT_MS:
            return
        done = at
        for notice in await journal.notices(at.seq):
            if address.wants(notice):
                if 0 <= self._instance.clock() - notice["at"] < GATHER_MS:
                    break
                try:
                    await self._send(address.url, await self._message(notice), self._instance.clock() // 1000)
                except Undelivered as why:
                    await self._failed(address, done, why)
                    return
                await journal.move_delivery(address.key, Delivery(notice["seq"]))
                at = Delivery(notice["seq"])
            done = replace(at, seq=notice["seq"])
        if done.seq > at.seq:
            await journal.move_delivery(address.key, done)

    async def _failed(self, address: Address, at: Delivery, why: Undelivered) -> None:
        wait = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(at.attempts, 12))
        due = self._instance.clock() + int(wait * random.uniform(0.5, 1.0))
        await self._instance.journal.move_delivery(address.key, Delivery(at.seq, at.attempts + 1, due))
        shown = channels.shown(address.url)
        log.warning("a notice could not be delivered to %s: %s; it is tried again", shown, why)

    async def _message(self, notice: Mapping[str, Any]) -> Message:
        """The message of a notice, with all that waits for its cause now."""
        text, kind = notice["text"], notice["kind"]
        affected = [Affected(notice["workflow"], notice["step"])]
        since = notice["at"]
        if kind == "hold":
            cause, detail = notice["cause"], notice["detail"]
            holds = [
                hold
                for hold in await self._instance.journal.holds()
                if (hold.connection, hold.cause, hold.detail) == (notice["connection"], cause, detail)
            ]
            if holds:
                affected = [Affected(hold.workflow, hold.step, hold.waiting) for hold in holds]
                since = min(hold.since for hold in holds)
                words = HOLD_CAUSES.get(cause, cause)
                text = texts.held(notice["connection"], cause, words, detail, since, affected)
        step = f"{affected[0].workflow}, step {affected[0].step}"
        step += f" (and {len(affected) - 1} more)" if len(affected) > 1 else ""
        title = inert(f"Askel, {notice['connection']}: {TITLES.get(kind, '{step}').format(step=step)}")
        text = inert(text)
        document = {
            "id": notice["seq"],
            "kind": kind,
            "at": _stamp(notice["at"]),
            "since": _stamp(since),
            "connection": notice["connection"],
            "cause": notice["cause"],
            "steps": [
                {"workflow": each.workflow, "step": each.step, "waiting": each.waiting} for each in affected
            ],
            "title": title,
            "text": text,
        }
        return Message(str(notice["seq"]), title, text, document)


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
