"""Identity conflicts: finds the profiles that have a record's identifiers, and merges them where the connection says
so.

How the upsert goes on is decided in `sync.settlement.single_calls`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import endpoint
from askel_tui.core.canonical import canonical_json
from askel_tui.core.planning.disposition import resolve_conflict
from askel_tui.core.requests.differences import merge_differences
from askel_tui.core.requests.packing import Request
from askel_tui.klaviyo.errors import Conflict, KlaviyoError, NotInAccount
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.klaviyo.responses import resource_of
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.store.journal.rows import Decision, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.sending.exchange import Exchange
from askel_tui.sync.settlement.single_calls import ConflictFindings

MAX_REMEMBERED_MERGES = 10_000
"""The number of merges that are remembered, so that none is asked for again while Klaviyo works on it."""


class IdentityConflicts:
    """Investigates the conflicts of one connection's upserts."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock, exchange: Exchange) -> None:
        self._to = to
        self._journal = journal
        self._clock = clock
        self._exchange = exchange
        self._merged: set[tuple[str, str]] = set()

    async def investigate(
        self, operations: Sequence[StoredOperation], error: Conflict
    ) -> ConflictFindings | None:
        """Reads the profiles in a conflict, the strongest identifier's first; with the policy `merge` they are
        merged.

        Klaviyo works on a merge for a while after it was accepted, and the conflict stays until then. None where the
        operations are not one upsert with several identifiers: their conflict is of another kind.
        """
        stored, policy = operations[0], self._to.on_conflict
        identity = stored.operation.profile
        upsert = stored.operation.call == Call.CREATE_OR_UPDATE_PROFILE and len(operations) == 1
        if not upsert or len(identity.identifiers()) < 2:
            return None
        if policy == "strongest":
            return ConflictFindings(policy)
        try:
            read = (await find_profiles(self._to.client, [identity], only_fields=()))[identity]
        except KlaviyoError:
            read = None
        found = [each.id for each in (read, *read.conflicting)] if read else []
        profiles = list(dict.fromkeys(filter(None, [*found, error.duplicate_profile_id])))
        resolution = resolve_conflict(stored.operation, policy, profiles)
        if resolution.into is None or stored.attempts + 1 >= self._to.limits.max_merge_attempts:
            return ConflictFindings(policy, profiles)
        into = resolution.into
        new = [source for source in resolution.sources if (into, source) not in self._merged]
        for source in new:
            try:
                await self._merge(stored, into, source)
            except NotInAccount:
                continue  # It was merged before and no longer exists.
            except KlaviyoError as failure:
                return ConflictFindings(policy, profiles, merge_error=failure)
        return ConflictFindings(policy, profiles, merging=True, newly_merging=bool(new))

    async def _merge(self, stored: StoredOperation, into: str, source: str) -> None:
        to = self._to
        at = endpoint(to.revision, Call.MERGE_PROFILES)
        body = canonical_json(dialect(to.revision).merge(into, source))
        response = await self._exchange.call_alone(
            Request(Call.MERGE_PROFILES, at.method, at.url_path(), {}, body, ())
        )
        if len(self._merged) >= MAX_REMEMBERED_MERGES:
            self._merged.clear()
        self._merged.add((into, source))
        await self._journal.forget_profile_id(to.name, source)
        detail: dict[str, Any] = {
            "destination": into,
            "source": source,
            "record": stored.record,
            "status": response.status,
            "why": f"identifiers of record {stored.record} belonged to both",
        }
        differences = merge_differences(into, resource_of(response.body).get("id"), response.left_out)
        if differences:
            detail["differences"] = differences
        decision = Decision(
            "merge", "askel", to.name, stored.workflow, stored.operation.step, detail, stored.record
        )
        await self._journal.write_decision(decision, self._clock())
