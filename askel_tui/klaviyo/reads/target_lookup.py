"""A look at what workflows name: the asked lists, segments, flows and metrics by id, in few calls (docs/klaviyo.md 9).

Lists and segments are asked for by their ids, and tell the flows that they fire where the revision has that; a flow
that none of them fires is asked itself. What the key may not read is left out, and the scope is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import FlowEntry, FlowTrigger, ListEntry, SegmentEntry
from askel_tui.core.targets.drift import AccountSnapshot
from askel_tui.klaviyo.errors import NotInAccount, NotInThisRevision, ScopeMissing
from askel_tui.klaviyo.filters import any_of_batches
from askel_tui.klaviyo.reads.catalog import list_entry, metric_entry, read_flow_triggers, segment_entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from askel_tui.core.operations import Target
    from askel_tui.klaviyo.client import Client

_Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TargetQuery:
    """What a look is for: pinned lists and segments, and (flow, the list or metric that fires it)."""

    lists: frozenset[Target] = frozenset()
    segments: frozenset[Target] = frozenset()
    flows: frozenset[tuple[Target, Target | None]] = frozenset()
    metrics: bool = False


async def read_targets(client: Client, asked: TargetQuery) -> AccountSnapshot:
    """What is there of what was asked for, now. Raises `KlaviyoError` for all but a missing scope."""
    reading = _TargetReader(client)
    lists = await reading.read_groups("lists", asked.lists, any(_by(asked, "list")))
    segments = await reading.read_groups("segments", asked.segments, False)
    metrics = None
    if asked.metrics or any(_by(asked, "metric")):
        metrics = await reading.read_section("metrics", {}, any(_by(asked, "metric")))
    flows = await reading.read_flows(asked.flows) if asked.flows else None
    found_lists = _entries(lists, list_entry)
    found_segments = _entries(segments, segment_entry)
    return AccountSnapshot(
        lists=found_lists,
        segments=found_segments,
        metrics=_entries(metrics, metric_entry),
        flows=flows,
        namesakes={
            **await reading.read_namesakes("list", asked.lists, found_lists),
            **await reading.read_namesakes("segment", asked.segments, found_segments),
        },
        lost_scopes=frozenset(reading.lost_scopes),
    )


def _by(asked: TargetQuery, kind: str) -> Iterable[Target]:
    return (through for _, through in asked.flows if through is not None and through.type == kind)


def _entries(resources: list[_Resource] | None, entry: Any) -> Any:
    return None if resources is None else {str(each.get("id")): entry(each) for each in resources}


class _TargetReader:
    """One look while it is made: which flows the read things fire, and which scopes were missing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fires: dict[str, list[FlowTrigger]] = {}
        self.lost_scopes: set[str] = set()

    async def read_groups(
        self, section: str, targets: Collection[Target], linked: bool
    ) -> list[_Resource] | None:
        """The lists or segments of these ids; None where none is asked for or they may not be read."""
        ids = sorted({target.id for target in targets if target.id is not None})
        if not ids:
            return None
        found: list[_Resource] = []
        for text, _ in any_of_batches("id", ids):
            part = await self.read_section(section, {"filter": text}, linked)
            if part is None:
                return None
            found += part
        return found

    async def read_section(
        self, section: str, query: Mapping[str, str], linked: bool
    ) -> list[_Resource] | None:
        """A section, with the flows that each thing fires where that can be read; None where nothing may be."""
        call = Call(f"get_{section}")
        if linked and "flow-triggers" in self._client.endpoint(call).include:
            try:
                found = await self._pages(call, {**query, "include": "flow-triggers"})
            except ScopeMissing:
                pass  # perhaps only flows:read: the section itself may still be readable
            else:
                self._note_triggers(section.removesuffix("s"), found)
                return found
        return await self._pages_or_none(call, query)

    async def read_flows(
        self, wanted: Collection[tuple[Target, Target | None]]
    ) -> dict[str, FlowEntry] | None:
        """The flows of these ids, with what fires them as far as that can be told."""
        ids = sorted({flow.id for flow, _ in wanted if flow.id is not None})
        entries: dict[str, FlowEntry] = {}
        for text, _ in any_of_batches("id", ids, max_values=50):
            query = {"filter": text, "fields[flow]": "name,status,archived,trigger_type"}
            found = await self._pages_or_none(Call.GET_FLOWS, query)
            if found is None:
                return None
            for each in found:
                entry = _flow(each)
                entries[entry.id] = entry
        for flow, through in wanted:
            one = entries.get(flow.id or "")
            if one is not None and through is not None:
                entries[one.id] = replace(one, triggers=await self._triggers(one, through))
        return entries

    async def _triggers(self, flow: FlowEntry, through: Target) -> tuple[FlowTrigger, ...] | None:
        fired_by = tuple(self._fires.get(flow.id, ()))
        if any((each.type, each.id) == (through.type, through.id) for each in fired_by):
            return fired_by
        try:
            return await read_flow_triggers(self._client, flow.id, priority="bulk")
        except (NotInAccount, ScopeMissing):
            return None

    async def read_namesakes(
        self, kind: str, targets: Collection[Target], found: Mapping[str, ListEntry | SegmentEntry] | None
    ) -> dict[tuple[str, str], tuple[str, ...]]:
        """The ids of whatever has the name of a target that is gone or renamed."""
        if found is None:
            return {}
        names = sorted(
            {
                target.name
                for target in targets
                if target.id is not None
                and (target.id not in found or (kind == "list" and found[target.id].name != target.name))
            }
        )
        ids: dict[tuple[str, str], tuple[str, ...]] = {}
        for text, _ in any_of_batches("name", names):
            for each in await self._pages_or_none(Call(f"get_{kind}s"), {"filter": text}) or ():
                key = (kind, str((each.get("attributes") or {}).get("name")))
                ids[key] = (*ids.get(key, ()), str(each.get("id")))
        return ids

    async def _pages(self, call: Call, query: Mapping[str, str]) -> list[_Resource]:
        return [each async for each in self._client.pages(call, query=query, priority="bulk")]

    async def _pages_or_none(self, call: Call, query: Mapping[str, str]) -> list[_Resource] | None:
        try:
            return await self._pages(call, query)
        except ScopeMissing:
            self.lost_scopes.update(self._client.endpoint(call).scopes)
        except NotInThisRevision:
            pass
        return None

    def _note_triggers(self, kind: str, resources: Iterable[_Resource]) -> None:
        for each in resources:
            relation = ((each.get("relationships") or {}).get("flow-triggers") or {}).get("data")
            for flow in relation if isinstance(relation, list) else ():
                trigger = FlowTrigger(kind, str(each.get("id")))
                self._fires.setdefault(str(flow.get("id")), []).append(trigger)


def _flow(resource: _Resource) -> FlowEntry:
    attributes = resource.get("attributes") or {}
    return FlowEntry(
        id=str(resource.get("id")),
        name=str(attributes.get("name") or ""),
        status=str(attributes.get("status") or ""),
        archived=attributes.get("archived") is True,
        trigger_type=attributes.get("trigger_type"),
    )
