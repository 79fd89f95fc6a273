"""One account: everything it holds, indexed by what requests ask for."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from askel_tui.sandbox.jsonapi.ids_and_times import UlidGenerator, short_id
from askel_tui.sandbox.state import model
from askel_tui.sandbox.state.definitions import profile_matches
from askel_tui.sandbox.state.sorted_views import SortedViews

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from askel_tui.sandbox.state.model import (
        Event,
        Flow,
        Job,
        Metric,
        Profile,
        ProfileList,
        Segment,
        Template,
    )

_CASE_INSENSITIVE: Final = ("email",)


class Account:
    """The state behind one account id. All changes go through the modules that know the rules."""

    def __init__(self, ident: str, name: str, *, sender: str = "hello@example.com") -> None:
        self.id = ident
        self.name = name
        self.sender = sender
        self.timezone = "US/Pacific"
        self.currency = "USD"
        self.industry = "Home goods"
        self.website = "https://mapleandember.example"
        self.ulids = UlidGenerator()
        self.profiles: dict[str, Profile] = {}
        self.merged: dict[str, str] = {}
        """The merged profiles: the id that is gone → the one that stayed."""
        self.lists: dict[str, ProfileList] = {}
        self.deleted_lists: dict[str, ProfileList] = {}
        self.segments: dict[str, Segment] = {}
        self.deleted_segments: dict[str, Segment] = {}
        self.metrics: dict[str, Metric] = {}
        self.flows: dict[str, Flow] = {}
        self.templates: dict[str, Template] = {}
        self.events: dict[str, Event] = {}
        self.events_of_profile: dict[str, list[Event]] = {}
        self.events_of_metric: dict[str, list[Event]] = {}
        self.event_keys: dict[tuple[str, str, str], str] = {}
        """The ids of stored events: (profile, metric, unique id or second) → event id."""
        self.jobs: dict[str, Job] = {}
        self.requests: dict[str, dict[str, int]] = {}
        """The counts of answered requests: endpoint → status → number."""
        self.versions: dict[str, int] = {}
        self.views = SortedViews()
        self._profile_id_by: dict[str, dict[str, str]] = {kind: {} for kind in model.IDENTIFIERS}
        self._metric_by_name: dict[tuple[str, str], str] = {}
        self.segment_time = 0.0
        """The time until segments show a write, in seconds, as the switches say."""
        self.shown_segments: dict[str, set[str]] = {}
        """The segments that profiles are shown in, from before their last writes, by profile id."""
        self.confirmations: list[dict[str, Any]] = []
        """The double opt-ins that wait for the click."""
        self.scheduled: list[tuple[float, int, str, dict[str, Any]]] = []
        """The effects that run later, the earliest first: (time, number, effect, its arguments)."""
        self._number = 0
        self.integration = {
            "object": "integration",
            "id": short_id(),
            "key": "api",
            "name": "API",
            "category": "API",
        }

    # profiles

    def find_profile(self, kind: str, value: str) -> Profile | None:
        """Finds the profile that has the identifier."""
        ident = self._profile_id_by[kind].get(_normalize(kind, value))
        return self.profiles.get(ident) if ident else None

    def profile(self, ident: str, *, follow: bool = False) -> Profile | None:
        """Returns the profile with the id; with `follow` also the one that it was merged into."""
        while follow and ident in self.merged:
            ident = self.merged[ident]
        return self.profiles.get(ident)

    def profiles_with(self, identifiers: Mapping[str, Any]) -> list[Profile]:
        """Finds the profiles that have one of the identifiers, that of the strongest identifier first."""
        found: dict[str, Profile] = {}
        for kind in model.IDENTIFIERS:
            value = identifiers.get(kind)
            if value and (profile := self.find_profile(kind, value)) is not None:
                found.setdefault(profile.id, profile)
        return list(found.values())

    def new_profile(self, now: float) -> Profile:
        """Makes an empty profile."""
        profile = model.Profile(self.ulids.next(now), now, now)
        self.profiles[profile.id] = profile
        self.mark_changed("profiles")
        return profile

    def set_identifier(self, profile: Profile, kind: str, value: str | None) -> None:
        """Gives a profile an identifier, or takes it away. The caller has checked that no other profile has it."""
        old = profile.attributes.get(kind)
        if old:
            self._profile_id_by[kind].pop(_normalize(kind, old), None)
        profile.attributes[kind] = _normalize(kind, value) if value else None
        if value:
            self._profile_id_by[kind][_normalize(kind, value)] = profile.id

    def remove_profile(self, profile: Profile) -> None:
        """Deletes a profile with its memberships; its events stay where they are."""
        for kind in model.IDENTIFIERS:
            if profile.attributes.get(kind):
                self.set_identifier(profile, kind, None)
        for ident in profile.lists:
            if ident in self.lists:
                self.lists[ident].members.pop(profile.id, None)
                self.mark_changed(f"list:{ident}")
        del self.profiles[profile.id]
        self.mark_changed("profiles")

    # metrics and events

    def get_or_create_metric(self, name: str, service: str | None, now: float) -> Metric:
        """Returns the metric of that name and integration, made where there is none."""
        key = (name, service or "api")
        ident = self._metric_by_name.get(key)
        if ident is not None:
            return self.metrics[ident]
        integration = dict(self.integration)
        if service and service != "api":
            integration |= {"key": service, "name": service.title(), "category": "Custom", "id": short_id()}
        return self.add_metric(model.Metric(self.new_id(self.metrics), name, now, now, integration))

    def find_metric(self, name: str, service: str | None = None) -> Metric | None:
        """Finds the metric of that name and integration, if there is one."""
        return self.metrics.get(self._metric_by_name.get((name, service or "api"), ""))

    def add_metric(self, metric: Metric) -> Metric:
        """Adds a metric."""
        self.metrics[metric.id] = metric
        self._metric_by_name[metric.name, metric.integration["key"]] = metric.id
        return metric

    def remove_metric(self, metric: Metric) -> None:
        """Removes a metric; its events stay."""
        self.metrics.pop(metric.id, None)
        self._metric_by_name.pop((metric.name, metric.integration["key"]), None)

    def next_number(self) -> int:
        """Returns the next number of events and scheduled effects."""
        self._number += 1
        return self._number

    def add_event(self, event: Event) -> None:
        """Adds an event. The caller has checked that it is no repeat."""
        self.events[event.id] = event
        self.events_of_profile.setdefault(event.profile, []).append(event)
        self.events_of_metric.setdefault(event.metric, []).append(event)
        self.event_keys[event.profile, event.metric, event.unique_id or str(event.time)] = event.id
        self._number = max(self._number, event.number)
        self.mark_changed("events")
        self.mark_changed(f"metric:{event.metric}")

    # groups

    def in_segment(self, segment: Segment, profile: Profile) -> bool:
        """Checks whether the profile is a member, by the explicit membership or by the definition."""
        if segment.members is not None:
            return profile.id in segment.members
        shown = self.shown_segments.get(profile.id)
        if shown is not None:
            return segment.id in shown
        return segment.is_active and profile_matches(segment.definition, profile, self.lists)

    def delay_segments(self, profile: Profile, now: float) -> None:
        """Keeps showing the profile in the segments that it is in, for a while after the write that follows."""
        if self.segment_time <= 0 or profile.id in self.shown_segments:
            return
        new = profile.created == now
        shown = set() if new else {one.id for one in self.segments.values() if self.in_segment(one, profile)}
        self.shown_segments[profile.id] = shown
        self.schedule(now + self.segment_time, "segments", profile=profile.id)

    def segment_members(self, segment: Segment) -> Iterable[tuple[Profile, float]]:
        """Lists the members with the time they joined; by definition, the time the profile was made."""
        if segment.members is not None:
            members = ((self.profiles.get(ident), at) for ident, at in segment.members.items())
            return ((profile, at) for profile, at in members if profile is not None)
        return ((p, p.created) for p in self.profiles.values() if self.in_segment(segment, p))

    def flows_triggered_by(self, kind: str, ident: str) -> list[Flow]:
        """Finds the flows whose trigger is this list, segment or metric."""
        wanted = (kind, ident)
        # A trigger of another kind, such as a date, names nothing.
        return [
            f
            for f in self.flows.values()
            if f.trigger and (f.trigger.get("type"), f.trigger.get("id")) == wanted
        ]

    # time and bookkeeping

    def schedule(self, due: float, effect: str, **what: Any) -> None:
        """Schedules an effect for the first request after `due` (see `scheduled.py`)."""
        heapq.heappush(self.scheduled, (due, self.next_number(), effect, what))

    def mark_changed(self, collection: str) -> None:
        """Marks a collection as changed, so that its sorted views are built anew."""
        self.versions[collection] = self.versions.get(collection, 0) + 1

    def version(self, *collections: str) -> int:
        """Returns a number that changes with any of the collections."""
        return sum(self.versions.get(name, 0) for name in collections)

    @staticmethod
    def new_id(taken: Mapping[str, Any]) -> str:
        """Makes a free id of 6 characters."""
        while (ident := short_id()) in taken:
            pass
        return ident


def _normalize(kind: str, value: str) -> str:
    return model.ascii_lower(value.strip()) if kind in _CASE_INSENSITIVE else value
