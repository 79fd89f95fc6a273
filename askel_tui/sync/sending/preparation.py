"""Preparation: reads that come before a request, and the batches that these make possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from askel_tui.contract.bodies import Inexpressible
from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.endpoints import NotInRevision
from askel_tui.core.addressing import CONSENT_CALLS, addressed_identity
from askel_tui.core.hold_causes import Cause
from askel_tui.core.operations import Operation
from askel_tui.core.opt_outs import OwnOptOuts, join_opt_outs
from askel_tui.core.planning.disposition import NOTHING_KNOWN, Known, refused_time
from askel_tui.core.requests import packing
from askel_tui.core.requests.coalescing import is_update
from askel_tui.core.requests.packing import PACKED_CALLS
from askel_tui.core.requests.revision_differences import unsayable
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.klaviyo.priority import Priority
from askel_tui.klaviyo.reads.profiles import (
    find_profiles,
    members_of_list,
    members_of_segment,
    read_opt_outs,
)
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.sending.batches import Batch, Prepared, addition_batches
from askel_tui.sync.sending.exchange import Exchange
from askel_tui.sync.sending.own_opt_outs import load_own_opt_outs
from askel_tui.sync.settlement.dispositions import Decided, decide
from askel_tui.sync.settlement.single_calls import interpret, learned_profiles
from askel_tui.sync.settlement.values import HeldOperations, Retry, Settlement

OWN_OPT_OUT_MS = 15 * 60_000
"""The time for which an opt-out that was sent from here counts, whether the account shows it or not."""

MIN_UNKNOWN_FOR_IMPORT = 100
"""The number of additions of profiles without a known id from which on an import job makes them."""

CANT_SAY = (Inexpressible, NotInRevision)
"""What building a request raises that the revision has no field or call for."""


class Preparation:
    """Makes the operations of one connection ready to be sent. Raises `KlaviyoError` where a read fails."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock, exchange: Exchange) -> None:
        self._to = to
        self._journal = journal
        self._clock = clock
        self._exchange = exchange
        self._own_opt_outs: OwnOptOuts | None = None

    async def prepare(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        """Makes the batches of operations that may share a request, after the reads that their call needs."""
        decided = await self.decide(operations)
        if not decided.going:
            return Prepared(settlements=decided.settlements)
        prepared = await self._prepare(decided.going, priority)
        return Prepared(prepared.batches, [*decided.settlements, *prepared.settlements])

    def hold_unsayable(self, operations: Sequence[StoredOperation], problem: Exception) -> Prepared:
        """Holds the operations that the revision can't say, and has the others tried again without them."""
        reasons = {stored.seq: unsayable(stored.operation, self._to.revision) for stored in operations}
        held = [
            HeldOperations([stored], Cause.REVISION, reason)
            for stored in operations
            if (reason := reasons[stored.seq]) is not None
        ]
        if not held:
            raise problem
        rest = [stored for stored in operations if reasons[stored.seq] is None]
        retries = [Retry(rest, "others of its request can't be said at this revision", 0)] if rest else []
        return Prepared(settlements=[Settlement(held=held, retries=retries)])

    async def decide(
        self,
        operations: Sequence[StoredOperation],
        known: Callable[[StoredOperation], Known] = lambda stored: NOTHING_KNOWN,
    ) -> Decided:
        """Decides what becomes of operations, by what is known of the account for each.

        Klaviyo's time is asked for before the machine's clock alone would refuse something.
        """
        now, limits, client = self._clock(), caps(self._to.revision), self._to.client
        server_now = client.server_time()
        if server_now is None and any(refused_time(each.operation, now, limits) for each in operations):
            server_now = await client.ask_time()
        return decide(operations, known, now, limits, self._to.timing.gate_asks_s, server_now)

    async def _prepare(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        first = operations[0].operation
        if first.is_gate:
            return await self._gates(operations)
        if first.call in PACKED_CALLS:
            return await self._list_calls(operations)
        if (
            first.call in CONSENT_CALLS
            and first.call != Call.BULK_SUBSCRIBE_PROFILES
            and first.destination is not None
        ):
            return await self._withdrawals(operations, priority)
        if first.call == Call.BULK_SUBSCRIBE_PROFILES:
            return await self._subscriptions(operations, priority)
        if is_identifying(first):
            return await self._identification(operations, priority)
        return Prepared(self.batches(operations, priority))

    def batches(
        self,
        operations: Sequence[StoredOperation],
        priority: Priority,
        profile_ids: Mapping[str, str] | None = None,
    ) -> list[Batch]:
        """Makes batches that need no read: as many operations in each as the call takes, coalesced updates in one."""
        if not operations:
            return []
        call, size, ids = operations[0].operation.call, len(operations), profile_ids or {}
        if call in PACKED_CALLS or call in CONSENT_CALLS:
            size = packing.batch_capacity(call, self._to.revision)
        parts = [operations[start : start + size] for start in range(0, len(operations), size)]
        requests = [
            packing.build_request([stored.operation for stored in part], self._to.revision, ids)
            for part in parts
        ]
        return [Batch(request, part, priority, ids) for request, part in zip(requests, parts, strict=True)]

    async def profile_ids(self, operations: Sequence[StoredOperation]) -> dict[str, str]:
        """Finds remembered profile ids by operation id: the strongest deciding key that is known decides."""
        keys = {key for stored in operations for key in stored.operation.profile.deciding_keys()}
        known = await self._journal.profile_ids(self._to.name, keys)
        ids = {}
        for stored in operations:
            deciding = stored.operation.profile.deciding_keys()
            found = next((known[key] for key in deciding if key in known), None)
            if found is not None:
                ids[stored.operation.id] = found
        return ids

    async def _gates(self, operations: Sequence[StoredOperation]) -> Prepared:
        segment = operations[0].operation.destination
        if segment is None or segment.id is None:
            raise ValueError(f"gate {operations[0].operation.step} names no segment")
        identities = [stored.operation.profile for stored in operations]
        read = self._clock()
        members = await members_of_segment(self._to.client, segment.id, identities, priority="bulk")
        now = self._clock()
        decided = await self.decide(
            operations,
            lambda stored: Known(
                member=members[stored.operation.profile], asked_since=stored.retrying_since or now
            ),
        )
        return Prepared(settlements=[decided.answered(members, read)])

    async def _identification(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        """Prepares an upsert of bare identifiers; it is not sent where an earlier answer showed them all on one
        profile."""
        keys = operations[0].operation.profile.keys()
        known = await self._journal.profile_ids(self._to.name, keys)
        on_one = len(known) == len(keys) and len(set(known.values())) == 1
        holder = next(iter(known.values())) if on_one else None
        decided = await self.decide(operations, lambda _: Known(identified_as=holder))
        return Prepared(self.batches(decided.going, priority), decided.settlements)

    async def _withdrawals(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        """Prepares unsubscribes from lists.

        Membership is read first: Klaviyo unsubscribes a profile that is not on the given list everywhere.
        """
        target = operations[0].operation.destination
        if target is None or target.id is None:
            raise ValueError(f"step {operations[0].operation.step} names no list")
        identities = {stored.seq: addressed_identity(stored.operation) for stored in operations}
        members = await members_of_list(self._to.client, target.id, identities.values())
        decided = await self.decide(
            operations, lambda stored: Known(member=bool(members.get(identities[stored.seq])))
        )
        return Prepared(self.batches(decided.going, priority), decided.settlements)

    async def _subscriptions(self, operations: Sequence[StoredOperation], priority: Priority) -> Prepared:
        """Prepares subscriptions: who has opted out is not subscribed again without newer proof.

        Opt-outs are read first, and those that were sent from here count before the account shows them.
        """
        asking = [stored for stored in operations if "proof" in stored.operation.body]
        if not asking:
            return Prepared(self.batches(operations, priority))
        identities = {stored.seq: addressed_identity(stored.operation) for stored in asking}
        own, read = await self._load_own_opt_outs(), self._clock()
        shown = await read_opt_outs(self._to.client, identities.values(), priority=priority)
        since = self._server_now() - OWN_OPT_OUT_MS
        decided = await self.decide(
            operations,
            lambda stored: Known(
                opt_outs=join_opt_outs([shown[identities[stored.seq]], own.find(stored.operation, since)])
                if stored.seq in identities
                else None
            ),
        )
        batches = self.batches(decided.going, priority)
        return Prepared([replace(each, opt_outs_read=read) for each in batches], decided.settlements)

    async def _load_own_opt_outs(self) -> OwnOptOuts:
        """Loads the opt-outs that were sent from here, at first those that an earlier run has sent."""
        if self._own_opt_outs is None:
            since, ahead = self._clock() - OWN_OPT_OUT_MS, self._server_now() - self._clock()
            self._own_opt_outs = await load_own_opt_outs(self._journal, self._to.name, since, ahead)
        return self._own_opt_outs

    def note_sent(self, batch: Batch, settlement: Settlement) -> None:
        """Notes the consent that a batch has changed, or may have changed, before the account shows it."""
        if batch.request.call not in CONSENT_CALLS or self._own_opt_outs is None:
            return
        written = [each.operation for each in settlement.ended if each.outcome in ("written", "unconfirmed")]
        if batch.request.call == Call.BULK_UNSUBSCRIBE_PROFILES:
            written += [stored for held in settlement.held for stored in held.operations]
        for stored in written:
            self._own_opt_outs.note(stored.operation, self._server_now())

    def _server_now(self) -> int:
        """Returns Klaviyo's time, where it is known to be another one than the machine's."""
        found = self._to.client.server_time()
        return self._clock() if found is None else found

    async def _list_calls(self, operations: Sequence[StoredOperation]) -> Prepared:
        """Prepares list calls, which name profiles by id: unknown ones are found, made by an import job, or made one
        by one."""
        ids = await self.profile_ids(operations)
        unknown = [stored for stored in operations if stored.operation.id not in ids]
        if not unknown:
            return Prepared(self.batches(operations, "bulk", ids))
        adds = operations[0].operation.call == Call.ADD_PROFILES_TO_LIST
        if adds and len(unknown) >= MIN_UNKNOWN_FOR_IMPORT:
            made = addition_batches(unknown, self._to.revision)
            named = [stored for stored in operations if stored.operation.id in ids]
            return Prepared([*made.batches, *self.batches(named, "bulk", ids)], made.settlements)
        found = await find_profiles(self._to.client, [stored.operation.profile for stored in unknown])
        ids |= {
            stored.operation.id: profile.id
            for stored in unknown
            if (profile := found.get(stored.operation.profile)) is not None
        }
        named = [stored for stored in operations if stored.operation.id in ids]
        missing = [stored for stored in unknown if stored.operation.id not in ids]
        if adds:
            settlements: Sequence[Settlement] = [await self._make_profile(stored) for stored in missing]
        else:
            settlements = (await self.decide(missing, lambda _: Known(exists=False))).settlements
        # What the read showed of the profiles links their identifiers, as an answer does.
        shown = {profile.id: profile.identity for profile in found.values() if profile is not None}
        learned = [Settlement(learned_profiles=shown)] if shown else []
        return Prepared(self.batches(named, "bulk", ids), [*learned, *settlements])

    async def _make_profile(self, stored: StoredOperation) -> Settlement:
        """Makes a profile where none has the identifiers any more; the addition is then tried again."""
        bare = replace(
            stored.operation,
            kind="upsert_profile",
            call=Call.CREATE_OR_UPDATE_PROFILE,
            target=None,
            through=None,
            body={"attributes": {}, "properties": {}, "unset": []},
        )
        try:
            response = await self._exchange.call_alone(packing.build_request([bare], self._to.revision, {}))
        except KlaviyoError as error:
            return interpret([stored], error, sent=False)
        retries = [Retry([stored], "its profile was made", 0)]
        return Settlement(retries=retries, learned_profiles=learned_profiles(response.body))


def is_identifying(operation: Operation) -> bool:
    """Checks whether the operation upserts only identifiers."""
    return operation.call == Call.CREATE_OR_UPDATE_PROFILE and not is_update(operation)
