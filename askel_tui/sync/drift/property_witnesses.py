"""Carriers: profiles that a step is known to have written its properties to, read back to see whether they are there.

Klaviyo lists custom properties nowhere and tells of no renaming (docs/klaviyo.md 3.5), so that a few known profiles are
the witnesses. Who they are is in the audit; what they held is remembered from look to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from askel_tui.core.operations import Identity
from askel_tui.core.targets.dependencies import StepDependencies
from askel_tui.core.targets.lost_properties import PropertyWitness, find_lost_properties
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.drift.pins import StepKey

MAX_WITNESSES_PER_STEP = 20
"""Carriers per step."""


@dataclass(slots=True)
class _Witness:
    """A carrier: who it is, the last values of the step's properties, and every property it was seen with."""

    identity: Identity
    values: dict[str, Any]
    keys: set[str] = field(default_factory=set)
    seen: bool = False
    """Whether a look has read it, or it was written to before this program started."""


class PropertyWitnesses:
    """The carriers of the steps of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._witnesses_by_step: dict[StepKey, dict[str, _Witness]] = {}
        self._searched_to_seq: dict[StepKey, int] = {}
        """Up to which audit entry a step's writes were searched for carriers."""

    async def read(
        self, client: Client, steps: Mapping[StepKey, StepDependencies]
    ) -> dict[StepKey, list[PropertyWitness]]:
        """What the carriers of these steps held, and hold now. Raises `KlaviyoError`."""
        wanted: dict[StepKey, list[_Witness]] = {}
        for step, watched in steps.items():
            if watched.properties:
                wanted[step] = await self._find_witnesses(step, watched.properties)
        everyone = {known.identity for each in wanted.values() for known in each}
        if not everyone:
            return {}
        found = await find_profiles(client, everyone, only_fields=["properties"], priority="bulk")
        carriers: dict[StepKey, list[PropertyWitness]] = {}
        for step, known_ones in wanted.items():
            for known in known_ones:
                profile = found.get(known.identity)
                if profile is None:
                    # Deleted or merged away: no witness any more.
                    self._witnesses_by_step[step].pop(known.identity.keys()[0], None)
                    continue
                now = dict(profile.attributes.get("properties") or {})
                keys = frozenset(known.keys | known.values.keys())
                carriers.setdefault(step, []).append(
                    PropertyWitness(dict(known.values), now, keys, known.seen)
                )
        return carriers

    def update_values(
        self, steps: Mapping[StepKey, StepDependencies], carriers: Mapping[StepKey, Sequence[PropertyWitness]]
    ) -> None:
        """Takes over what the carriers hold now: what is gone keeps its last value.

        While a property is missed, carriers that have all of theirs join no more: they are of the time after.
        """
        for step, read in carriers.items():
            known = list(self._witnesses_by_step.get(step, {}).items())
            missed = any(find_lost_properties(steps[step], read))
            for (key, one), carrier in zip(known, read, strict=True):
                whole = all(carrier.now.get(name) is not None for name in carrier.before)
                if missed and whole and not one.seen:
                    del self._witnesses_by_step[step][key]
                    continue
                one.seen = True
                one.keys |= carrier.now.keys()
                for name in steps[step].properties:
                    if carrier.now.get(name) is not None:
                        one.values[name] = carrier.now[name]

    async def _find_witnesses(self, step: StepKey, properties: Sequence[str]) -> list[_Witness]:
        known = self._witnesses_by_step.setdefault(step, {})
        if len(known) < MAX_WITNESSES_PER_STEP:
            wanted = AuditFilter(workflow=step[0], step=step[1], status="written")
            after = self._searched_to_seq.get(step)
            if after is None:
                entries = await self._journal.audit_entries(wanted, limit=MAX_WITNESSES_PER_STEP, newest=True)
                entries.sort(key=attrgetter("seq"))
            else:
                # The oldest since: a property that was renamed meanwhile is missed by them first.
                entries = await self._journal.audit_entries(wanted, after=after, limit=MAX_WITNESSES_PER_STEP)
            self._searched_to_seq[step] = max((entry.seq for entry in entries), default=after or 0)
            for entry in entries:
                # One identifier is one call for all of them.
                identity = Identity(**dict([*(entry.profile or {}).items()][:1]))
                if (
                    identity.keys()
                    and len(known) < MAX_WITNESSES_PER_STEP
                    and identity.keys()[0] not in known
                ):
                    values = _written_values(entry, identity, properties)
                    known[identity.keys()[0]] = _Witness(identity, values, seen=after is None)
        return list(known.values())


def _written_values(entry: AuditEntry, identity: Identity, properties: Iterable[str]) -> dict[str, Any]:
    """The values that a request wrote to the profile; empty where its body was folded away or is unknown."""
    body = (entry.request or {}).get("body")
    wanted = identity.identifiers()
    for attributes in _profiles_in_body(body):
        if _has_an_identifier(attributes, wanted):
            written = attributes.get("properties")
            written = written if isinstance(written, dict) else {}
            return {name: written[name] for name in properties if written.get(name) is not None}
    return {}


def _has_an_identifier(attributes: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a profile bears one of the identifiers. An import job has thousands of them."""
    for name, value in wanted.items():
        held = attributes.get(name)
        if held == value or (
            name == "email" and isinstance(held, str) and held.casefold() == value.casefold()
        ):
            return True
    return False


def _profiles_in_body(body: Any) -> Iterable[dict[str, Any]]:
    """The attributes of every profile in a request's body: one of its own, or the rows of an import job."""
    data = body.get("data") if isinstance(body, dict) else None
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        return []
    profiles = attributes.get("profiles")
    rows = profiles.get("data") if isinstance(profiles, dict) else None
    if not isinstance(rows, list):
        return [attributes]
    return [
        row["attributes"] for row in rows if isinstance(row, dict) and isinstance(row.get("attributes"), dict)
    ]
