"""Looks at what workflows name, in the background and before batches: drift holds its step, and only that.

A hold whose cause is gone, with nothing left to decide, is ordered to end. What was found, and that it is no longer
so, is in the audit: from there a restart knows what was told and what a person released knowingly.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from askel_tui.core.targets.drift import CAUSES, Carrier, Finding, Look, Watched, findings, lost_properties
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import (
    KeyRefused,
    KlaviyoError,
    ScopeMissing,
    Throttled,
    Unavailable,
    Unreadable,
)
from askel_tui.klaviyo.reads.key_check import check_key, read_account
from askel_tui.klaviyo.reads.target_lookup import Asked, look
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.journal.rows import Hold, StoredOperation
from askel_tui.sync.drift.known_findings import KnownDrift
from askel_tui.sync.drift.pins import Key, Pins
from askel_tui.sync.drift.property_witnesses import Carriers
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

FRESH_MS = 15_000
"""How old a step's last look may be when a batch is sent for it (design: Looks), in milliseconds, as all here."""

AHEAD_MS = 10_000
"""How old it may get before steps with traffic are looked at again, so that their batches need not wait."""

LOOK_MS = 15_000
"""How long between two looks for a hold that may end by itself."""

TRAFFIC_MS = 60_000
"""How long between two whole looks at a connection with traffic, and how recent that traffic is."""

IDLE_MS = 15 * 60_000
"""How long between two whole looks at an idle connection."""

SPREAD_MS = 1_000
"""Between the first looks at two idle connections, so that many of them make no burst."""

ROUND_MS = 500
"""The shortest time between two rounds."""

CONFIRM_S = 1.0
"""Before a property counts as lost it is read once more: a write may be seen a moment later."""

AT_ONCE = 8
"""Connections looked at side by side."""

Step = tuple[str, str]
"""Workflow and step."""


@dataclass(slots=True)
class _Connection:
    """What is remembered of a connection between looks."""

    whole: int
    """When it was last looked at as a whole."""
    asked: dict[Key, int] = field(default_factory=dict)
    """When a batch was last to be sent, by step."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Watcher:
    """Looks at the accounts of an instance, for the engine that owns it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._pins = Pins(instance)
        self._carriers = Carriers(instance.journal)
        self._drift = KnownDrift(instance.journal)
        self._connections: dict[str, _Connection] = {}
        self._looked: dict[Key, int] = {}
        self._troubled: set[Step] = set()
        """Steps with a finding that holds and that nobody released knowingly."""
        self._round: int | None = None
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """As `Freshness` says."""
        now = self._instance.clock()
        keys = {(each.workflow, each.version, each.operation.step) for each in operations}
        known = self._connection(connection)
        known.asked.update(dict.fromkeys(keys, now))
        if all(self._is_fresh(key, now) for key in keys):
            return True
        async with known.looking:
            return await self._look_before(connection, keys)

    async def look(self) -> None:
        """One round: whatever is due for a look is looked at. Raises only what the journal or the state raise."""
        now = self._instance.clock()
        if self._round is not None and 0 <= now - self._round < min(ROUND_MS, LOOK_MS):
            return
        self._round = now
        active = await self._pins.active()
        holds = await self._instance.journal.holds()
        self._drift.keep({key[0] for keys in active.values() for key in keys})
        names = sorted(active.keys() | self._connections.keys())
        held = {each: [hold for hold in holds if hold.connection == each and _ends(hold)] for each in names}
        due = [each for each in names if self._due(each, held[each], now)]
        ahead = {each: self._ahead(each, now) for each in names if each not in due}
        work = [self._whole(each, active.get(each, ())) for each in due]
        work += [self._some(each, keys) for each, keys in ahead.items() if keys]
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _connection(self, name: str) -> _Connection:
        if name not in self._connections:
            # A first idle look soon, but not those of a thousand connections at once.
            offset = TRAFFIC_MS + len(self._connections) * SPREAD_MS
            self._connections[name] = _Connection(self._instance.clock() - IDLE_MS + offset)
        return self._connections[name]

    def _is_fresh(self, key: Key, now: int) -> bool:
        if (key[0], key[2]) in self._troubled:
            return False
        return self._pins.nothing_to_see(key) or 0 <= now - self._looked.get(key, -FRESH_MS) < FRESH_MS

    def _due(self, connection: str, holds: Iterable[Hold], now: int) -> bool:
        """Whether the connection is due for a whole look; `holds` are those of it that may end by themselves."""
        known = self._connection(connection)
        traffic = any(now - at < TRAFFIC_MS for at in known.asked.values())
        if not 0 <= now - known.whole < (TRAFFIC_MS if traffic else IDLE_MS):
            return True
        return any(now - max(known.whole, hold.since) >= LOOK_MS for hold in holds)

    def _ahead(self, connection: str, now: int) -> list[Key]:
        """Steps with traffic whose last look grows old."""
        known = self._connection(connection)
        known.asked = {key: at for key, at in known.asked.items() if now - at < TRAFFIC_MS}
        return [
            key
            for key in known.asked
            if not self._pins.nothing_to_see(key)
            and not 0 <= now - self._looked.get(key, -AHEAD_MS) < AHEAD_MS
        ]

    async def _whole(self, connection: str, active: Collection[Key]) -> None:
        """A whole look in the background; trouble of the account is for the next one."""
        known = self._connection(connection)
        async with self._limit, known.looking:
            known.whole = self._instance.clock()
            try:
                await self._look(connection, {*active, *known.asked}, whole=True)
            except KlaviyoError as error:
                log.warning("%s could not be looked at: %s", connection, error)

    async def _some(self, connection: str, keys: Collection[Key]) -> None:
        async with self._limit, self._connection(connection).looking:
            try:
                await self._look(connection, keys)
            except KlaviyoError as error:
                log.info("%s could not be looked at: %s", connection, error)

    async def _look_before(self, connection: str, keys: Collection[Key]) -> bool:
        """Looks at what is not fresh. False where one of the steps is held."""
        steps = {_step(key) for key in keys}
        if steps & self._troubled:
            held = {(hold.workflow, hold.step) for hold in await self._instance.journal.holds()}
            if steps & held:
                return False
        stale = [key for key in keys if not self._is_fresh(key, self._instance.clock())]
        if stale:
            await self._look(connection, stale)
        return not steps & self._troubled

    async def _look(self, connection: str, keys: Collection[Key], *, whole: bool = False) -> None:
        """Looks at what these steps name and acts on what was found. Raises `KlaviyoError`."""
        began = self._instance.clock()
        pinned = await self._pins.read(keys)
        troubled = any(_step(key) in self._troubled for key in keys)
        seeing = {
            key: one
            for key, one in pinned.items()
            if whole or _step(key) in self._troubled or not self._pins.nothing_to_see(key)
        }
        try:
            client = await self._instance.client(connection)
            document = self._instance.state.connection(connection)
        except UnknownConnection:
            return
        if client is not None and seeing:
            try:
                found, carriers = await self._read(client, seeing, whole, account=whole or troubled)
            except KeyRefused as error:
                if self._instance.state.connection(connection).key != client.fingerprint:
                    # It was given a new key meanwhile.
                    return
                found, carriers = Look(key_refused=str(error)), {}
                active = await self._pins.active()
                seeing = await self._pins.read({*seeing, *active.get(connection, ())})
            except (Throttled, Unavailable, Unreadable):
                raise
            except KlaviyoError as error:
                # It would be the same the next time, and sending must not wait for it for ever.
                log.warning("%s could not be looked at: %s", connection, error)
                found, carriers = Look(), {}
            judged: dict[Step, dict[str, Finding]] = defaultdict(dict)
            for key, one in seeing.items():
                witnesses = carriers.get(_step(key), ())
                now_so = findings(one, found, witnesses, account=document.account)
                judged[_step(key)] |= {each.evidence: each for each in now_so}
            await self._act(connection, client, judged, seeing, whole=whole)
        self._looked.update(dict.fromkeys(keys, began))

    async def _read(
        self, client: Client, pinned: Mapping[Key, Watched], whole: bool, *, account: bool
    ) -> tuple[Look, Mapping[Step, Sequence[Carrier]]]:
        found = await look(client, _asked(pinned.values(), whole))
        if account:
            found = replace(found, account=(await read_account(client))[0])
        steps = {_step(key): one for key, one in pinned.items()}
        try:
            carriers = await self._carriers.read(client, steps)
        except ScopeMissing:
            lacking = client.endpoint("get_profiles").scopes
            return replace(found, lost=found.lost.union(lacking)), {}
        lost = [
            each
            for step, one in steps.items()
            for each in lost_properties(one, carriers.get(step, ()))
            if not self._drift.is_known(step, each)
        ]
        if lost:
            await asyncio.sleep(CONFIRM_S)
            carriers = await self._carriers.read(client, steps)
        self._carriers.remember(steps, carriers)
        return found, carriers

    async def _act(
        self,
        connection: str,
        client: Client,
        judged: Mapping[Step, Mapping[str, Finding]],
        pinned: Mapping[Key, Watched],
        *,
        whole: bool,
    ) -> None:
        """Notes what is new, holds what has to be held, and ends what need not be held any longer."""
        holds = {(hold.workflow, hold.step): hold for hold in await self._instance.journal.holds()}
        for step, found in judged.items():
            hold = holds.get(step)
            troubled = False
            for finding in found.values():
                now = self._instance.clock()
                troubled |= await self._drift.found(connection, step, finding, hold, now)
            (self._troubled.add if troubled else self._troubled.discard)(step)
            if whole:
                await self._drift.gone(connection, step, found.keys(), self._instance.clock())
                if hold is not None and not troubled and _ends(hold):
                    await self._end(hold, client, [one for key, one in pinned.items() if _step(key) == step])

    async def _end(self, hold: Hold, client: Client, pinned: Iterable[Watched]) -> None:
        """Orders a hold to end whose cause is gone."""
        now = self._instance.clock()
        if now - hold.since < LOOK_MS:
            return
        if hold.cause == "scope_missing":
            scopes = (await check_key(client)).scopes
            if any(scopes.get(scope) == "missing" for one in pinned for scope in one.scopes):
                return
        arguments = {"workflow": hold.workflow, "step": hold.step, "cause": hold.cause}
        await self._instance.journal.order("release", arguments, "askel", now)
        log.info("%s step %s: the cause of its hold is gone", hold.workflow, hold.step)


def _step(key: Key) -> Step:
    return key[0], key[2]


def _ends(hold: Hold) -> bool:
    cause = CAUSES.get(hold.cause)
    return cause is not None and cause.ends


def _asked(pinned: Iterable[Watched], whole: bool) -> Asked:
    """What has to be read for these steps. Metrics that only events name are for whole looks: they hold nothing."""
    lists, segments, flows, metrics = set(), set(), set(), False
    for one in pinned:
        target, destination = one.target, one.destination
        if destination is not None and destination.type == "list":
            lists.add(destination)
        if target is not None and target.type == "segment":
            segments.add(target)
        if target is not None and target.type == "flow":
            flows.add((target, one.through))
        metrics = metrics or (whole and destination is not None and destination.type == "metric")
    return Asked(frozenset(lists), frozenset(segments), frozenset(flows), metrics)
