"""The scopes that a key needs for the calls of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import endpoints
from askel_tui.core.workflows.model import Step, TriggerFlow, Unsubscribe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.core.operations import StepKind

CALLS_OF_STEPS: Mapping[StepKind, tuple[str, ...]] = {
    "upsert_profile": (Call.CREATE_OR_UPDATE_PROFILE,),
    "add_to_list": (Call.ADD_PROFILES_TO_LIST, Call.GET_PROFILES),
    "remove_from_list": (Call.REMOVE_PROFILES_FROM_LIST, Call.GET_PROFILES),
    "track_event": (Call.CREATE_EVENT,),
    "trigger_flow": (Call.GET_FLOWS, Call.CREATE_EVENT, Call.ADD_PROFILES_TO_LIST),
    "subscribe": (Call.BULK_SUBSCRIBE_PROFILES,),
    "unsubscribe": (Call.BULK_UNSUBSCRIBE_PROFILES,),
    "require_segment": (Call.GET_PROFILES_FOR_SEGMENT,),
}
"""The calls that carry out each kind of step."""


def needed_scopes(step: Step, revision: str) -> set[str]:
    """The scopes that the calls of a step need at the revision."""
    through = "metric" if isinstance(step, TriggerFlow) and step.metric else "list"
    found = set(scopes_of_step(step.kind, revision, through=through))
    if isinstance(step, Unsubscribe) and step.list is not None:
        found.update(scopes_of((Call.GET_PROFILES_FOR_LIST,), revision))
    return found


def scopes_of(calls: tuple[str, ...], revision: str) -> tuple[str, ...]:
    """The scopes that these calls need at the revision, in the order of the calls."""
    known = endpoints(revision)
    return tuple(dict.fromkeys(scope for call in calls if call in known for scope in known[call].scopes))


def scopes_of_step(kind: StepKind, revision: str, *, through: str | None = None) -> tuple[str, ...]:
    """The scopes that a kind of step needs. `through` (`list` or `metric`) is what a `trigger_flow` fires by."""
    calls = CALLS_OF_STEPS[kind]
    if kind == "trigger_flow" and through is not None:
        other = {"list": Call.CREATE_EVENT, "metric": Call.ADD_PROFILES_TO_LIST}[through]
        calls = tuple(call for call in calls if call != other)
    return scopes_of(calls, revision)
