"""Reads the lists, segments, flows and metrics that workflows name, by id and in few calls (docs/klaviyo.md 9).

Lists and segments are read by their ids, with the flows that they fire where the key may read those. A flow that
none of them fires is read by itself. What the key may not read is left out, and its scope is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import FlowEntry, FlowTrigger, ListEntry, SegmentEntry
from askel_tui.core.drift.drift import AccountSnapshot
from askel_tui.klaviyo.errors import NotInAccount, NotInThisRevision, ScopeMissing
from askel_tui.klaviyo.filters import any_of_batches
from askel_tui.klaviyo.reads.catalog import read_flow_triggers
from askel_tui.klaviyo.reads.entries import (
    Resource,
    flow_entry,
    list_entry,
    metric_entry,
    read_with_triggers,
    section_revision,
    segment_entry,
    triggers_by_flow,
)
from askel_tui.klaviyo.responses import attributes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from askel_tui.core.operations import Target
    from askel_tui.klaviyo.client import Client


@dataclass(frozen=True, slots=True)
class TargetQuery:
    """The targets to read: pinned lists and segments, and pairs (flow, the list or metric that fires it)."""

    lists: frozenset[Target] = frozenset()
    segments: frozenset[Target] = frozenset()
    flows: frozenset[tuple[Target, Target | None]] = frozenset()
    metrics: bool = False


async def read_targets(client: Client, query: TargetQuery) -> AccountSnapshot:
    """Reads the targets as the account has them now. Raises `KlaviyoError`, except for a missing scope."""
    reader = _TargetReader(client)
    lists = await reader.read_groups("lists", query.lists, any(_fired_by(query, "list")))
    segments = await reader.read_groups("segments", query.segments, False)
    metrics = None
    if query.metrics or any(_fired_by(query, "metric")):
        metrics = await reader.read_section("metrics", {}, any(_fired_by(query, "metric")))
    flows = await reader.read_flows(query.flows) if query.flows else None
    found_lists = _entries(lists, list_entry)
    found_segments = _entries(segments, segment_entry)
    return AccountSnapshot(
        lists=found_lists,
        segments=found_segments,
        metrics=_entries(metrics, metric_entry),
        flows=flows,
        namesakes={
            **await reader.read_namesakes("list", query.lists, found_lists),
            **await reader.read_namesakes("segment", query.segments, found_segments),
        },
        lost_scopes=frozenset(reader.lost_scopes),
    )


def _fired_by(query: TargetQuery, kind: str) -> Iterable[Target]:
    """Lists the lists or metrics that fire the flows of the query."""
    return (through for _, through in query.flows if through is not None and through.type == kind)


def _entries(resources: list[Resource] | None, entry: Any) -> Any:
    return None if resources is None else {str(each.get("id")): entry(each) for each in resources}


class _TargetReader:
    """A reader of targets. It collects which flows they fire, and which scopes were missing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._fires: dict[str, list[FlowTrigger]] = {}
        self.lost_scopes: set[str] = set()

    async def read_groups(
        self, section: str, targets: Collection[Target], linked: bool
    ) -> list[Resource] | None:
        """Reads the lists or segments of the targets; None without any, or where the key may not read them."""
        ids = sorted({target.id for target in targets if target.id is not None})
        if not ids:
            return None
        found: list[Resource] = []
        for text, _ in any_of_batches("id", ids):
            part = await self.read_section(section, {"filter": text}, linked)
            if part is None:
                return None
            found += part
        return found

    async def read_section(
        self, section: str, query: Mapping[str, str], linked: bool
    ) -> list[Resource] | None:
        """Reads the resources of a section, if possible with the flows they fire; None where the key may not read
        them."""
        if linked:
            found = await read_with_triggers(self._client, section, query, priority="bulk")
            if found is not None:
                for flow, triggers in triggers_by_flow(section.removesuffix("s"), found).items():
                    self._fires.setdefault(flow, []).extend(triggers)
                return found
        return await self._pages_or_none(Call(f"get_{section}"), query)

    async def read_flows(
        self, wanted: Collection[tuple[Target, Target | None]]
    ) -> dict[str, FlowEntry] | None:
        """Reads the flows of `wanted`, with their triggers as far as these can be read."""
        ids = sorted({flow.id for flow, _ in wanted if flow.id is not None})
        entries: dict[str, FlowEntry] = {}
        for text, _ in any_of_batches("id", ids, max_values=50):
            query = {"filter": text, "fields[flow]": "name,status,archived,trigger_type"}
            found = await self._pages_or_none(Call.GET_FLOWS, query)
            if found is None:
                return None
            for each in found:
                entry = flow_entry(each)
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
        """Reads the ids of all lists or segments that have the name of a target that is gone or renamed."""
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
                key = (kind, str(attributes_of(each).get("name")))
                ids[key] = (*ids.get(key, ()), str(each.get("id")))
        return ids

    async def _pages_or_none(self, call: Call, query: Mapping[str, str]) -> list[Resource] | None:
        try:
            revision = section_revision(self._client, call.removeprefix("get_"))
            pages = self._client.pages(call, query=query, priority="bulk", revision=revision)
            return [each async for each in pages]
        except ScopeMissing:
            self.lost_scopes.update(self._client.endpoint(call).scopes)
        except NotInThisRevision:
            pass
        return None
