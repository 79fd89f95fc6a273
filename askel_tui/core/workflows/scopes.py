"""The scopes that a key needs for the calls of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from askel_tui.contract.endpoints import endpoints
from askel_tui.core.workflows.model import Step, TriggerFlow, Unsubscribe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.core.operations import StepKind

CALLS_OF_STEPS: Mapping[StepKind, tuple[str, ...]] = {
    "upsert_profile": ("create_or_update_profile",),
    "add_to_list": ("add_profiles_to_list", "get_profiles"),
    "remove_from_list": ("remove_profiles_from_list", "get_profiles"),
    "track_event": ("create_event",),
    "trigger_flow": ("get_flows", "create_event", "add_profiles_to_list"),
    "subscribe": ("bulk_subscribe_profiles",),
    "unsubscribe": ("bulk_unsubscribe_profiles",),
    "require_segment": ("get_profiles_for_segment",),
}
"""The calls that carry out each kind of step."""


def needed_scopes(step: Step, revision: str) -> set[str]:
    """The scopes that the calls of a step need at the revision."""
    through = "metric" if isinstance(step, TriggerFlow) and step.metric else "list"
    found = set(scopes_of_step(step.kind, revision, through=through))
    if isinstance(step, Unsubscribe) and step.list is not None:
        found.update(scopes_of(("get_profiles_for_list",), revision))
    return found


def scopes_of(calls: tuple[str, ...], revision: str) -> tuple[str, ...]:
    """The scopes that the calls take together at a revision, in the order of first need."""
    known = endpoints(revision)
    return tuple(dict.fromkeys(scope for call in calls if call in known for scope in known[call].scopes))


def scopes_of_step(kind: StepKind, revision: str, *, through: str | None = None) -> tuple[str, ...]:
    """The scopes that a step takes; `through` (`list` or `metric`) says how a `trigger_flow` fires."""
    calls = CALLS_OF_STEPS[kind]
    if kind == "trigger_flow" and through is not None:
        other = {"list": "create_event", "metric": "add_profiles_to_list"}[through]
        calls = tuple(call for call in calls if call != other)
    return scopes_of(calls, revision)
