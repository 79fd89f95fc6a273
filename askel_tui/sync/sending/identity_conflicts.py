"""Conflicts: identifiers of one record that belong to several profiles, and what the connection does about it.

`fail` keeps the record and names the profiles; `strongest` writes with the strongest identifier only; `merge` merges
the other profiles into the one of the strongest identifier (docs/klaviyo.md 2.5, 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import endpoint
from askel_tui.core.operations import Identity, canonical_json
from askel_tui.core.requests.packing import Request
from askel_tui.klaviyo.errors import Conflict, KlaviyoError, NotInAccount
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.store.journal.rows import Decision, StoredOperation
from askel_tui.sync.sending.error_policy import Action, action_for
from askel_tui.sync.sending.settlement import QueueUpdate, Send, Settler

MAX_MERGE_ATTEMPTS = 20
"""How often an upsert may be tried until its profiles are merged; then it fails."""

MAX_REMEMBERED_MERGES = 10_000
"""Merges that are remembered as ordered, so that none is ordered again while it is under way."""

UPSERT, MERGE = Call.CREATE_OR_UPDATE_PROFILE, Call.MERGE_PROFILES


class IdentityConflicts:
    """Decides conflicts of one connection's upserts."""

    def __init__(self, end: Settler, send: Send) -> None:
        self._end = end
        self._send = send
        self._merged: set[tuple[str, str]] = set()

    async def refused(
        self, request: int | None, stored: StoredOperation, error: Conflict, result: QueueUpdate
    ) -> None:
        """What becomes of an operation that was answered 409."""
        policy = self._end.to.on_conflict
        identity = stored.operation.profile
        several = len(identity.identifiers()) > 1
        if stored.operation.call != UPSERT or not several:
            await self._end.fail(request, [stored], error, str(error), result)
            return
        if policy == "strongest":
            await self._with_strongest(request, stored, error, result)
            return
        profiles = await self._profiles(identity, error)
        if policy == "merge" and len(profiles) > 1 and stored.attempts + 1 < MAX_MERGE_ATTEMPTS:
            await self._merge(request, stored, profiles, result)
        else:
            await self._end.fail(request, [stored], error, _named(error, identity, profiles), result)

    async def _profiles(self, identity: Identity, error: Conflict) -> list[str]:
        """The profiles that have the identifiers: that of the strongest one first, and the one Klaviyo names."""
        try:
            read = (await find_profiles(self._end.to.client, [identity], only_fields=()))[identity]
        except KlaviyoError:
            read = None
        ids = [*((each.id for each in (read, *read.conflicting)) if read else ()), error.duplicate_profile_id]
        return list(dict.fromkeys(filter(None, ids)))

    async def _with_strongest(
        self, request: int | None, stored: StoredOperation, error: Conflict, result: QueueUpdate
    ) -> None:
        """The same write once more, with the strongest identifier and nothing else that says who is meant."""
        name, value = next(iter(stored.operation.profile.identifiers().items()))
        alone = replace(stored.operation, profile=Identity(**{name: value}))
        if request is not None:
            await self._end.delay(request, [stored], Action("delay", str(error), wait_ms=0), QueueUpdate())
        await self._send([replace(stored, operation=alone, has_fewer_identifiers=True)], "live", result)

    async def _merge(
        self, request: int | None, stored: StoredOperation, profiles: list[str], result: QueueUpdate
    ) -> None:
        """Merges the weaker profiles into the strongest one's, then has the upsert tried again.

        A merge is under way for a while after it was accepted, and the conflict stays until then.
        """
        into, *weaker = profiles
        ordered = [each for each in weaker if (into, each) not in self._merged]
        for source in ordered:
            try:
                await self._order(stored, into, source)
            except NotInAccount:
                continue  # It was merged before: by then it is no more.
            except KlaviyoError as error:
                found = action_for(error, MERGE)
                if found.kind == "hold":
                    await self._end.hold(request, [stored], found, result)
                elif found.kind == "delay":
                    await self._end.delay(request, [stored], found, result)
                else:
                    told = f"profiles {_and(profiles)} could not be merged: {found.detail}"
                    await self._end.fail(request, [stored], error, told, result)
                return
        why = f"{_and(weaker)} is merged into {into}"
        wait = 0 if ordered else None
        await self._end.delay(request, [stored], Action("delay", why, wait_ms=wait), result)

    async def _order(self, stored: StoredOperation, into: str, source: str) -> None:
        to, journal = self._end.to, self._end.journal
        at = endpoint(to.revision, MERGE)
        body = canonical_json(dialect(to.revision).merge(into, source))
        opened: list[int] = []

        async def open_request() -> None:
            if not opened:
                opened.append(
                    await self._end.open(Request(MERGE, at.method, at.url_path(), {}, body, ()), ())
                )

        try:
            answer = await to.client.call(MERGE, body=body, before_attempt=open_request)
        finally:
            for each in opened:
                await journal.answer_request(each, now=self._end.clock())
        if len(self._merged) >= MAX_REMEMBERED_MERGES:
            self._merged.clear()
        self._merged.add((into, source))
        await journal.forget_profile_id(to.name, source)
        detail = {
            "destination": into,
            "source": source,
            "record": stored.record,
            "status": answer.status,
            "why": f"identifiers of record {stored.record} belonged to both",
        }
        decision = Decision("merge", "askel", to.name, stored.workflow, stored.operation.step, detail)
        await journal.write_decision(decision, self._end.clock())


def _named(error: Conflict, identity: Identity, profiles: Iterable[str]) -> str:
    named = _and(profiles) or "another profile"
    return f"{error} {', '.join(identity.identifiers().values())} belong to {named}"


def _and(profiles: Iterable[str]) -> str:
    return " and ".join(profiles)
