"""Property witnesses: profiles that a step wrote its properties to, read again to find lost properties.

Klaviyo lists custom properties nowhere and shows no renaming (docs/klaviyo.md 3.5), so that a few known profiles are
the witnesses. The audit names them; their values are remembered from check to check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from askel_tui.core.drift.dependencies import StepDependencies
from askel_tui.core.drift.lost_properties import PropertyWitness, find_lost_properties
from askel_tui.core.operations import Identity, fold_email
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.profiles import find_profiles
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.account_checks.pins import VersionedStep

MAX_WITNESSES_PER_STEP = 20
"""The number of witnesses of a step."""


@dataclass(slots=True)
class _Witness:
    """A witness: its identity, the last values of the step's properties, and every property that it was read with."""

    identity: Identity
    values: dict[str, Any]
    ever_carried: set[str] = field(default_factory=set)
    read_since_write: bool = False
    """True if the witness was read since it was written to, or was written to before this program started."""


class PropertyWitnesses:
    """The witnesses of the steps of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._witnesses_by_step: dict[VersionedStep, dict[str, _Witness]] = {}
        self._searched_to_seq: dict[VersionedStep, int] = {}
        """The `seq` of the audit entry up to which a step's writes were searched for witnesses."""

    async def read(
        self, client: Client, steps: Mapping[VersionedStep, StepDependencies]
    ) -> dict[VersionedStep, list[PropertyWitness]]:
        """Reads the properties that the witnesses of `steps` held before, and hold now. Raises `KlaviyoError`."""
        by_step: dict[VersionedStep, list[_Witness]] = {}
        for step, dependencies in steps.items():
            if dependencies.properties:
                by_step[step] = await self._find_witnesses(step, dependencies.properties)
        identities = dict.fromkeys(each.identity for witnesses in by_step.values() for each in witnesses)
        if not identities:
            return {}
        profiles = await find_profiles(client, identities, only_fields=["properties"], priority="bulk")
        readings: dict[VersionedStep, list[PropertyWitness]] = defaultdict(list)
        for step, witnesses in by_step.items():
            for witness in witnesses:
                profile = profiles.get(witness.identity)
                if profile is None:
                    # Deleted or merged away: it is no witness any more.
                    self._witnesses_by_step[step].pop(witness.identity.keys()[0], None)
                    continue
                now = dict(profile.attributes.get("properties") or {})
                carried = frozenset(witness.ever_carried | witness.values.keys())
                readings[step].append(
                    PropertyWitness(dict(witness.values), now, carried, witness.read_since_write)
                )
        return dict(readings)

    def update_values(
        self,
        steps: Mapping[VersionedStep, StepDependencies],
        readings: Mapping[VersionedStep, Sequence[PropertyWitness]],
    ) -> None:
        """Remembers the present values of the witnesses; a property that is gone keeps its last value.

        While a property is missing, new witnesses that have all of theirs are dropped: they were written to after
        it went missing.
        """
        for step, of_step in readings.items():
            witnesses = list(self._witnesses_by_step.get(step, {}).items())
            is_missing = any(find_lost_properties(steps[step], of_step))
            for (key, witness), reading in zip(witnesses, of_step, strict=True):
                has_all = all(reading.now.get(name) is not None for name in reading.before)
                if is_missing and has_all and not witness.read_since_write:
                    del self._witnesses_by_step[step][key]
                    continue
                witness.read_since_write = True
                witness.ever_carried |= reading.now.keys()
                for name in steps[step].properties:
                    if reading.now.get(name) is not None:
                        witness.values[name] = reading.now[name]

    async def _find_witnesses(self, step: VersionedStep, properties: Sequence[str]) -> list[_Witness]:
        witnesses = self._witnesses_by_step.setdefault(step, {})
        if len(witnesses) < MAX_WITNESSES_PER_STEP:
            wanted = AuditFilter(workflow=step[0], step=step[2], status="written")
            after = self._searched_to_seq.get(step)
            if after is None:
                entries = await self._journal.audit_entries(wanted, limit=MAX_WITNESSES_PER_STEP, newest=True)
                entries.sort(key=attrgetter("seq"))
            else:
                # The oldest since then: they are the first to miss a property that was renamed meanwhile.
                entries = await self._journal.audit_entries(wanted, after=after, limit=MAX_WITNESSES_PER_STEP)
            self._searched_to_seq[step] = max((entry.position for entry in entries), default=after or 0)
            for entry in entries:
                # With one identifier each, one call reads all of them.
                identity = Identity(**dict([*(entry.profile or {}).items()][:1]))
                key = next(iter(identity.keys()), None)
                if key is not None and len(witnesses) < MAX_WITNESSES_PER_STEP and key not in witnesses:
                    values = _written_values(entry, identity, properties)
                    witnesses[key] = _Witness(identity, values, read_since_write=after is None)
        return list(witnesses.values())


async def count_carriers(
    journal: Journal, workflow: str, step: str, properties: Sequence[str]
) -> dict[str, int]:
    """Counts the profiles that are known to carry each property: those that the step wrote it to lately."""
    wanted = AuditFilter(workflow=workflow, step=step, status="written")
    entries = await journal.audit_entries(wanted, limit=MAX_WITNESSES_PER_STEP, newest=True)
    carriers: dict[str, set[str]] = {name: set() for name in properties}
    for entry in entries:
        identity = Identity(**dict([*(entry.profile or {}).items()][:1]))
        for name in _written_values(entry, identity, properties):
            carriers[name].update(identity.keys())
    return {name: len(keys) for name, keys in carriers.items()}


def _written_values(entry: AuditEntry, identity: Identity, properties: Iterable[str]) -> dict[str, Any]:
    """Finds the values that a request wrote to the profile; none where its body was pruned."""
    body = (entry.request or {}).get("body")
    wanted = identity.identifiers()
    for attributes in _profiles_in_body(body):
        if _has_an_identifier(attributes, wanted):
            written = attributes.get("properties")
            written = written if isinstance(written, dict) else {}
            return {name: written[name] for name in properties if written.get(name) is not None}
    return {}


def _has_an_identifier(attributes: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Checks whether a profile has one of the identifiers. An import job has thousands of profiles."""
    for name, value in wanted.items():
        held = attributes.get(name)
        if held == value or (
            name == "email" and isinstance(held, str) and fold_email(held) == fold_email(value)
        ):
            return True
    return False


def _profiles_in_body(body: Any) -> Iterable[dict[str, Any]]:
    """Finds the attributes of every profile in a request's body: one of its own, or the rows of an import job."""
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
