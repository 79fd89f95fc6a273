"""The account checker: checks what workflows name, in the background and before sending, and holds drifted steps.

A hold whose cause is gone, with nothing left to decide, is ended by a command. Findings, and that they are gone, are
in the audit: from there a restart knows what was noticed and what a person released knowingly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace

from askel_tui.contract.calls import Call
from askel_tui.core.drift.dependencies import StepDependencies
from askel_tui.core.drift.drift import AccountSnapshot, find_drift
from askel_tui.core.drift.findings import Finding
from askel_tui.core.drift.lost_properties import PropertyWitness, find_lost_properties, is_carried
from askel_tui.core.hold_causes import Cause, HoldReason, hold_cause
from askel_tui.core.hold_history import pause_ms
from askel_tui.core.incidents import incident_of
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
from askel_tui.store.state.documents import ConnectionDoc
from askel_tui.sync.account_checks.known_findings import KnownFindings
from askel_tui.sync.account_checks.pins import Pins, VersionedStep
from askel_tui.sync.account_checks.property_witnesses import PropertyWitnesses
from askel_tui.sync.account_checks.schedule import CheckSchedule
from askel_tui.sync.instance import Instance, account_key
from askel_tui.sync.periodic import Interval

log = logging.getLogger(__name__)

MIN_ROUND_INTERVAL_MS = 500
"""The shortest time between two rounds."""

MAX_CONCURRENT_CHECKS = 8
"""The number of connections that are checked at once."""


class AccountChecker:
    """Checks the accounts of an instance, for the engine that owns it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._pins = Pins(instance)
        self._witnesses = PropertyWitnesses(instance.journal)
        self._findings = KnownFindings(instance.journal)
        self._schedule = CheckSchedule(instance, self._pins)
        self._drifted_steps: set[VersionedStep] = set()
        """The steps with a finding that holds them, which no person released knowingly."""
        self._refused_keys: set[str] = set()
        """The keys (their fingerprints) that the last check found refused."""
        self._interval = Interval()
        self._limit = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

    async def ensure_fresh(self, connection: str, operations: Sequence[StoredOperation]) -> bool:
        """Checks the steps of operations that are to be sent; see `sending.sender.FreshnessGate`."""
        now = self._instance.clock()
        keys = {(each.workflow, each.version, each.operation.step) for each in operations}
        state = self._schedule.state(connection)
        state.requested_at.update(dict.fromkeys(keys, now))
        for key in keys:
            if not self._is_fresh(key, now):
                break
        else:
            return True
        async with state.lock:
            return await self._check_before_send(connection, keys)

    async def run_round(self) -> None:
        """Checks the connections and steps that are due. Raises only errors of the journal or the state."""
        now = self._instance.clock()
        if not self._interval.elapsed(
            now, min(MIN_ROUND_INTERVAL_MS, self._instance.timing.hold_check_interval_ms)
        ):
            return
        active = await self._pins.active()
        holds = await self._instance.journal.holds()
        self._findings.keep_only({key[0] for keys in active.values() for key in keys})
        names = sorted({*active, *self._schedule.connections})
        held = {
            each: [hold for hold in holds if hold.connection == each and _may_end_by_itself(hold)]
            for each in names
        }
        due = [each for each in names if self._schedule.is_due(each, held[each], now)]
        ahead = {each: self._schedule.due_soon(each, now) for each in names if each not in due}
        work = [self._check_fully(each, active.get(each, ())) for each in due]
        work += [self._check_some(each, keys) for each, keys in ahead.items() if keys]
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _is_fresh(self, key: VersionedStep, now: int) -> bool:
        return key not in self._drifted_steps and self._schedule.is_fresh(key, now)

    async def _check_fully(self, connection: str, active: Collection[VersionedStep]) -> None:
        """Checks a whole connection; where the account can't be read, the next check makes up for it."""
        state = self._schedule.state(connection)
        async with self._limit, state.lock:
            state.full_check_at = self._instance.clock()
            try:
                await self._check(connection, {*active, *state.requested_at}, full=True)
            except KlaviyoError as error:
                log.warning("%s could not be checked: %s", connection, error)

    async def _check_some(self, connection: str, keys: Collection[VersionedStep]) -> None:
        async with self._limit, self._schedule.state(connection).lock:
            try:
                await self._check(connection, keys)
            except KlaviyoError as error:
                log.info("%s could not be checked: %s", connection, error)

    async def _check_before_send(self, connection: str, keys: Set[VersionedStep]) -> bool:
        """Checks the steps that are not fresh. Returns False where one of them is held."""
        if keys & self._drifted_steps:
            held = {hold.key for hold in await self._instance.journal.holds()}
            if keys & held:
                return False
        stale = [key for key in keys if not self._is_fresh(key, self._instance.clock())]
        if stale:
            await self._check(connection, stale)
        return not keys & self._drifted_steps

    async def _check(self, connection: str, keys: Collection[VersionedStep], *, full: bool = False) -> None:
        """Reads the targets of the steps `keys` and acts on the findings. Raises `KlaviyoError`."""
        began = self._instance.clock()
        pinned = await self._pins.read(keys)
        has_drift = any(key in self._drifted_steps for key in keys)
        checked = {
            key: one
            for key, one in pinned.items()
            if full or key in self._drifted_steps or not self._pins.needs_no_check(key)
        }
        try:
            client = await self._instance.find_client(connection)
            document = self._instance.state.connection(connection)
        except UnknownConnection:
            return
        if client is not None and checked:
            try:
                found, witnesses = await self._read_account_state(
                    client, checked, full, account=full or has_drift
                )
            except KeyRefused as error:
                if self._instance.state.connection(connection).key != client.fingerprint:
                    # The connection has a new key meanwhile.
                    return
                self._check_others_with_key(connection, client.fingerprint)
                found, witnesses = AccountSnapshot(key_refused=str(error)), {}
                active = await self._pins.active()
                checked = await self._pins.read({*checked, *active.get(connection, ())})
            except (RateLimited, Unavailable, UnreadableResponse):
                raise
            except KlaviyoError as error:
                # The next check would fail alike, and sending must not wait for ever.
                log.warning("%s could not be checked: %s", connection, error)
                found, witnesses = AccountSnapshot(), {}
            if found.key_refused is None:
                self._refused_keys.discard(client.fingerprint)
            findings: dict[VersionedStep, dict[str, Finding]] = {}
            for key, one in checked.items():
                drift = find_drift(one, found, witnesses.get(key, ()), account=document.account)
                findings[key] = {each.evidence: each for each in drift}
            await self._apply_findings(document, client, findings, checked, witnesses, full=full)
        self._schedule.note_checked(keys, began)

    def _check_others_with_key(self, connection: str, key: str) -> None:
        """Has the other connections with a key that is refused checked soon: it is one cause."""
        if key not in self._refused_keys:
            self._refused_keys.add(key)
            for document in self._instance.state.connections():
                if document.key == key and document.name != connection:
                    self._schedule.check_soon(document.name)

    async def _read_account_state(
        self, client: Client, pinned: Mapping[VersionedStep, StepDependencies], full: bool, *, account: bool
    ) -> tuple[AccountSnapshot, Mapping[VersionedStep, Sequence[PropertyWitness]]]:
        found = await read_targets(client, _target_query(pinned.values(), full))
        if account:
            found = replace(found, account=(await read_account(client))[0])
        try:
            witnesses = await self._witnesses.read(client, pinned)
        except ScopeMissing:
            lacking = client.endpoint(Call.GET_PROFILES).scopes
            return replace(found, lost_scopes=found.lost_scopes.union(lacking)), {}
        lost = [
            each
            for step, one in pinned.items()
            for each in find_lost_properties(one, witnesses.get(step, ()))
            if not self._findings.is_known(step, each)
        ]
        if lost:
            await asyncio.sleep(self._instance.timing.property_confirm_delay_s)
            witnesses = await self._witnesses.read(client, pinned)
        self._witnesses.update_values(pinned, witnesses)
        return found, witnesses

    async def _apply_findings(
        self,
        document: ConnectionDoc,
        client: Client,
        findings: Mapping[VersionedStep, Mapping[str, Finding]],
        pinned: Mapping[VersionedStep, StepDependencies],
        witnesses: Mapping[VersionedStep, Sequence[PropertyWitness]],
        *,
        full: bool,
    ) -> None:
        """Notes new findings, holds their steps, and ends holds whose cause is gone."""
        holds = {hold.key: hold for hold in await self._instance.journal.holds()}
        incidents = {hold.incident for hold in holds.values()}
        # What holds comes first: what only warns of the same cause is not announced besides.
        for step, found in sorted(findings.items(), key=lambda each: _only_warns(each[1].values())):
            hold = holds.get(step)
            holding = []
            for finding in found.values():
                now = self._instance.clock()
                wanted = Hold(document.name, *step, finding.cause, finding.detail, now)
                wanted = replace(wanted, incident=self._incident(document, finding))
                if await self._findings.handle_finding(wanted, finding, hold, incidents, now):
                    holding.append(finding)
                    incidents.add(wanted.incident)
            (self._drifted_steps.add if holding else self._drifted_steps.discard)(step)
            if hold is not None:
                await self._update_hold(hold, holding, document)
                await self._update_other_reasons(hold, holding)
            if full:
                unclear = set() if hold is None else await self._unclear(step, witnesses.get(step, ()))
                standing = found.keys() | unclear
                await self._findings.note_gone(document.name, step, standing, self._instance.clock())
                if hold is not None and not (holding or unclear) and _may_end_by_itself(hold):
                    await self._order_release(hold, client, pinned[step])

    async def _update_hold(self, hold: Hold, holding: Sequence[Finding], document: ConnectionDoc) -> None:
        """Gives a hold the cause that the account shows now, where it shows its former one no longer."""
        if not holding or not hold_cause(hold.cause).is_account_change:
            return
        if not await self._findings.explain(hold, holding):
            now, first = self._instance.clock(), holding[0]
            incident = self._incident(document, first)
            changed = replace(hold, cause=first.cause, detail=first.detail, incident=incident)
            if await self._instance.journal.change_hold(changed, now):
                log.warning("%s step %s is held: %s", hold.workflow, hold.step, first.detail)
                await self._findings.note_held(changed, first, now)

    async def _update_other_reasons(self, hold: Hold, holding: Sequence[Finding]) -> None:
        """Names with a hold what else the account shows that would hold its step."""
        found = [HoldReason(each.cause, each.detail) for each in holding]
        others = [each for each in hold.others if not hold_cause(each.cause).is_drift]
        others += [each for each in found if each != hold.reasons[0]]
        if tuple(others) != hold.others:
            await self._instance.journal.set_other_reasons(hold.key, others, self._instance.clock())

    def _incident(self, document: ConnectionDoc, finding: Finding) -> str:
        # How many profiles lost a property differs from step to step.
        subject = finding.detail if finding.property is None else finding.evidence
        return incident_of(
            finding.cause,
            subject,
            document.name,
            account=account_key(document),
            key=document.key,
            revision=document.revision,
        )

    async def _unclear(self, step: VersionedStep, witnesses: Sequence[PropertyWitness]) -> set[str]:
        """Finds the evidence of lost properties that no profiles show again: those findings stand."""
        lost = await self._findings.lost_properties(step)
        return {
            evidence for evidence, name in lost.items() if name is None or not is_carried(name, witnesses)
        }

    async def _order_release(self, hold: Hold, client: Client, pinned: StepDependencies) -> None:
        """Submits a command that ends a hold whose cause is gone."""
        now = self._instance.clock()
        if now - hold.since < pause_ms(self._instance.timing.hold_check_interval_ms, hold.repeats):
            return
        if hold.cause == Cause.SCOPE_MISSING:
            scopes = (await check_key(client)).scopes
            if any(scopes.get(scope) == "missing" for scope in pinned.scopes):
                return
        self._findings.note_release_ordered(hold.key)
        await self._instance.journal.submit_command("release", hold.release_arguments(), "askel", now)
        log.info("%s step %s: the cause of its hold is gone", hold.workflow, hold.step)


def _only_warns(findings: Iterable[Finding]) -> bool:
    return all(finding.policy == "warn" for finding in findings)


def _may_end_by_itself(hold: Hold) -> bool:
    cause = hold_cause(hold.cause)
    return cause.is_drift and cause.ends_by_itself and not hold.stays


def _target_query(pinned: Iterable[StepDependencies], full: bool) -> TargetQuery:
    """Makes the query for the targets of the steps `pinned`; metrics in full checks only, for their loss holds no
    event."""
    lists, segments, flows, metrics = set(), set(), set(), False
    for one in pinned:
        target, destination = one.target, one.destination
        if destination is not None and destination.type == "list":
            lists.add(destination)
        if target is not None and target.type == "segment":
            segments.add(target)
        if target is not None and target.type == "flow":
            flows.add((target, one.through))
        metrics = metrics or (full and destination is not None and destination.type == "metric")
    return TargetQuery(frozenset(lists), frozenset(segments), frozenset(flows), metrics)
