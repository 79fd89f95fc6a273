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

from askel_tui.contract.calls import Call
from askel_tui.core.hold_causes import Cause, hold_cause
from askel_tui.core.targets.drift import (
    AccountSnapshot,
    Finding,
    PropertyWitness,
    StepDependencies,
    find_drift,
    find_lost_properties,
)
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import (
    KeyRefused,
    KlaviyoError,
    RateLimited,
    ScopeMissing,
    Unavailable,
    UnreadableResponse,
)
from askel_tui.klaviyo.reads.key_check import check_key, read_account
from askel_tui.klaviyo.reads.target_lookup import TargetQuery, read_targets
from askel_tui.store.errors import UnknownConnection
from askel_tui.store.journal.rows import Hold, StoredOperation
from askel_tui.sync.drift.known_findings import KnownFindings
from askel_tui.sync.drift.pins import Pins, VersionedStep
from askel_tui.sync.drift.property_witnesses import PropertyWitnesses
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

MAX_CHECK_AGE_MS = 15_000
"""How old a step's last look may be when a batch is sent for it, in milliseconds, as all here."""

RECHECK_AGE_MS = 10_000
"""How old it may get before steps with traffic are looked at again, so that their batches need not wait."""

HOLD_CHECK_INTERVAL_MS = 15_000
"""How long between two looks for a hold that may end by itself."""

ACTIVE_CHECK_INTERVAL_MS = 60_000
"""How long between two whole looks at a connection with traffic, and how recent that traffic is."""

IDLE_CHECK_INTERVAL_MS = 15 * 60_000
"""How long between two whole looks at an idle connection."""

FIRST_CHECK_SPREAD_MS = 1_000
"""Between the first looks at two idle connections, so that many of them make no burst."""

MIN_ROUND_INTERVAL_MS = 500
"""The shortest time between two rounds."""

PROPERTY_CONFIRM_DELAY_S = 1.0
"""Before a property counts as lost it is read once more: a write may be seen a moment later."""

MAX_CONCURRENT_CHECKS = 8
"""Connections looked at side by side."""

StepKey = tuple[str, str]
"""Workflow and step."""


@dataclass(slots=True)
class _CheckState:
    """What is remembered of a connection between looks."""

    full_check_at: int
    """When it was last looked at as a whole."""
    requested_at: dict[VersionedStep, int] = field(default_factory=dict)
    """When a batch was last to be sent, by step."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class DriftDetector:
    """Looks at the accounts of an instance, for the engine that owns it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._pins = Pins(instance)
        self._witnesses = PropertyWitnesses(instance.journal)
        self._findings = KnownFindings(instance.journal)
        self._connections: dict[str, _CheckState] = {}
        self._checked_at: dict[VersionedStep, int] = {}
        self._drifted_steps: set[StepKey] = set()
        """Steps with a finding that holds and that nobody released knowingly."""
        self._interval = Interval()
        self._limit = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

    async def ensure_fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """As `FreshnessGate` says."""
        now = self._instance.clock()
        keys = {(each.workflow, each.version, each.operation.step) for each in operations}
        known = self._check_state(connection)
        known.requested_at.update(dict.fromkeys(keys, now))
        if all(self._is_fresh(key, now) for key in keys):
            return True
        async with known.lock:
            return await self._check_before_send(connection, keys)

    async def run_round(self) -> None:
        """One round: whatever is due for a look is looked at. Raises only what the journal or the state raise."""
        now = self._instance.clock()
        if not self._interval.elapsed(now, min(MIN_ROUND_INTERVAL_MS, HOLD_CHECK_INTERVAL_MS)):
            return
        active = await self._pins.active()
        holds = await self._instance.journal.holds()
        self._findings.keep_only({key[0] for keys in active.values() for key in keys})
        names = sorted(active.keys() | self._connections.keys())
        held = {
            each: [hold for hold in holds if hold.connection == each and _may_end_by_itself(hold)]
            for each in names
        }
        due = [each for each in names if self._is_due(each, held[each], now)]
        ahead = {each: self._keys_due_soon(each, now) for each in names if each not in due}
        work = [self._check_fully(each, active.get(each, ())) for each in due]
        work += [self._check_some(each, keys) for each, keys in ahead.items() if keys]
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _check_state(self, name: str) -> _CheckState:
        if name not in self._connections:
            # A first idle look soon, but not those of a thousand connections at once.
            offset = ACTIVE_CHECK_INTERVAL_MS + len(self._connections) * FIRST_CHECK_SPREAD_MS
            self._connections[name] = _CheckState(self._instance.clock() - IDLE_CHECK_INTERVAL_MS + offset)
        return self._connections[name]

    def _is_fresh(self, key: VersionedStep, now: int) -> bool:
        if (key[0], key[2]) in self._drifted_steps:
            return False
        return (
            self._pins.needs_no_check(key)
            or 0 <= now - self._checked_at.get(key, -MAX_CHECK_AGE_MS) < MAX_CHECK_AGE_MS
        )

    def _is_due(self, connection: str, holds: Iterable[Hold], now: int) -> bool:
        """Whether the connection is due for a whole look; `holds` are those of it that may end by themselves."""
        known = self._check_state(connection)
        traffic = any(now - at < ACTIVE_CHECK_INTERVAL_MS for at in known.requested_at.values())
        if (
            not 0
            <= now - known.full_check_at
            < (ACTIVE_CHECK_INTERVAL_MS if traffic else IDLE_CHECK_INTERVAL_MS)
        ):
            return True
        return any(now - max(known.full_check_at, hold.since) >= HOLD_CHECK_INTERVAL_MS for hold in holds)

    def _keys_due_soon(self, connection: str, now: int) -> list[VersionedStep]:
        """Steps with traffic whose last look grows old."""
        known = self._check_state(connection)
        known.requested_at = {
            key: at for key, at in known.requested_at.items() if now - at < ACTIVE_CHECK_INTERVAL_MS
        }
        return [
            key
            for key in known.requested_at
            if not self._pins.needs_no_check(key)
            and not 0 <= now - self._checked_at.get(key, -RECHECK_AGE_MS) < RECHECK_AGE_MS
        ]

    async def _check_fully(self, connection: str, active: Collection[VersionedStep]) -> None:
        """A whole look in the background; trouble of the account is for the next one."""
        known = self._check_state(connection)
        async with self._limit, known.lock:
            known.full_check_at = self._instance.clock()
            try:
                await self._check(connection, {*active, *known.requested_at}, full=True)
            except KlaviyoError as error:
                log.warning("%s could not be looked at: %s", connection, error)

    async def _check_some(self, connection: str, keys: Collection[VersionedStep]) -> None:
        async with self._limit, self._check_state(connection).lock:
            try:
                await self._check(connection, keys)
            except KlaviyoError as error:
                log.info("%s could not be looked at: %s", connection, error)

    async def _check_before_send(self, connection: str, keys: Collection[VersionedStep]) -> bool:
        """Looks at what is not fresh. False where one of the steps is held."""
        steps = {_step_key(key) for key in keys}
        if steps & self._drifted_steps:
            held = {(hold.workflow, hold.step) for hold in await self._instance.journal.holds()}
            if steps & held:
                return False
        stale = [key for key in keys if not self._is_fresh(key, self._instance.clock())]
        if stale:
            await self._check(connection, stale)
        return not steps & self._drifted_steps

    async def _check(self, connection: str, keys: Collection[VersionedStep], *, full: bool = False) -> None:
        """Looks at what these steps name and acts on what was found. Raises `KlaviyoError`."""
        began = self._instance.clock()
        pinned = await self._pins.read(keys)
        troubled = any(_step_key(key) in self._drifted_steps for key in keys)
        seeing = {
            key: one
            for key, one in pinned.items()
            if full or _step_key(key) in self._drifted_steps or not self._pins.needs_no_check(key)
        }
        try:
            client = await self._instance.find_client(connection)
            document = self._instance.state.connection(connection)
        except UnknownConnection:
            return
        if client is not None and seeing:
            try:
                found, carriers = await self._read_account_state(
                    client, seeing, full, account=full or troubled
                )
            except KeyRefused as error:
                if self._instance.state.connection(connection).key != client.fingerprint:
                    # It was given a new key meanwhile.
                    return
                found, carriers = AccountSnapshot(key_refused=str(error)), {}
                active = await self._pins.active()
                seeing = await self._pins.read({*seeing, *active.get(connection, ())})
            except (RateLimited, Unavailable, UnreadableResponse):
                raise
            except KlaviyoError as error:
                # It would be the same the next time, and sending must not wait for it for ever.
                log.warning("%s could not be looked at: %s", connection, error)
                found, carriers = AccountSnapshot(), {}
            judged: dict[StepKey, dict[str, Finding]] = defaultdict(dict)
            for key, one in seeing.items():
                witnesses = carriers.get(_step_key(key), ())
                now_so = find_drift(one, found, witnesses, account=document.account)
                judged[_step_key(key)] |= {each.evidence: each for each in now_so}
            await self._apply_findings(connection, client, judged, seeing, full=full)
        self._checked_at.update(dict.fromkeys(keys, began))

    async def _read_account_state(
        self, client: Client, pinned: Mapping[VersionedStep, StepDependencies], whole: bool, *, account: bool
    ) -> tuple[AccountSnapshot, Mapping[StepKey, Sequence[PropertyWitness]]]:
        found = await read_targets(client, _target_query(pinned.values(), whole))
        if account:
            found = replace(found, account=(await read_account(client))[0])
        steps = {_step_key(key): one for key, one in pinned.items()}
        try:
            carriers = await self._witnesses.read(client, steps)
        except ScopeMissing:
            lacking = client.endpoint(Call.GET_PROFILES).scopes
            return replace(found, lost_scopes=found.lost_scopes.union(lacking)), {}
        lost = [
            each
            for step, one in steps.items()
            for each in find_lost_properties(one, carriers.get(step, ()))
            if not self._findings.is_known(step, each)
        ]
        if lost:
            await asyncio.sleep(PROPERTY_CONFIRM_DELAY_S)
            carriers = await self._witnesses.read(client, steps)
        self._witnesses.update_values(steps, carriers)
        return found, carriers

    async def _apply_findings(
        self,
        connection: str,
        client: Client,
        judged: Mapping[StepKey, Mapping[str, Finding]],
        pinned: Mapping[VersionedStep, StepDependencies],
        *,
        full: bool,
    ) -> None:
        """Notes what is new, holds what has to be held, and ends what need not be held any longer."""
        holds = {(hold.workflow, hold.step): hold for hold in await self._instance.journal.holds()}
        for step, found in judged.items():
            hold = holds.get(step)
            troubled = False
            for finding in found.values():
                now = self._instance.clock()
                troubled |= await self._findings.handle_finding(connection, step, finding, hold, now)
            (self._drifted_steps.add if troubled else self._drifted_steps.discard)(step)
            if full:
                await self._findings.note_gone(connection, step, found.keys(), self._instance.clock())
                if hold is not None and not troubled and _may_end_by_itself(hold):
                    await self._order_release(
                        hold, client, [one for key, one in pinned.items() if _step_key(key) == step]
                    )

    async def _order_release(self, hold: Hold, client: Client, pinned: Iterable[StepDependencies]) -> None:
        """Orders a hold to end whose cause is gone."""
        now = self._instance.clock()
        if now - hold.since < HOLD_CHECK_INTERVAL_MS:
            return
        if hold.cause == Cause.SCOPE_MISSING:
            scopes = (await check_key(client)).scopes
            if any(scopes.get(scope) == "missing" for one in pinned for scope in one.scopes):
                return
        arguments = {"workflow": hold.workflow, "step": hold.step, "cause": hold.cause}
        await self._instance.journal.submit_command("release", arguments, "askel", now)
        log.info("%s step %s: the cause of its hold is gone", hold.workflow, hold.step)


def _step_key(key: VersionedStep) -> StepKey:
    return key[0], key[2]


def _may_end_by_itself(hold: Hold) -> bool:
    cause = hold_cause(hold.cause)
    return cause.is_drift and cause.ends_by_itself


def _target_query(pinned: Iterable[StepDependencies], whole: bool) -> TargetQuery:
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
    return TargetQuery(frozenset(lists), frozenset(segments), frozenset(flows), metrics)
