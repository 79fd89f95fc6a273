"""The scopes that a key needs for the calls of a step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import endpoints
from askel_tui.core.workflows.model import Step, Subscribe, TriggerFlow, Unsubscribe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from askel_tui.core.operations import StepKind

CALLS_OF_STEPS: Mapping[StepKind, tuple[Call, ...]] = {
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
    """Returns the scopes that a step needs at the revision."""
    calls = [*CALLS_OF_STEPS[step.kind]]
    if isinstance(step, TriggerFlow):
        # Only one of the two fires the flow.
        calls.remove(Call.ADD_PROFILES_TO_LIST if step.metric else Call.CREATE_EVENT)
    if isinstance(step, Unsubscribe) and step.list is not None:
        calls.append(Call.GET_PROFILES_FOR_LIST)
    if isinstance(step, Subscribe) and step.choice not in (None, "resubscribe"):
        calls.append(Call.GET_PROFILES)
    return set(scopes_of(calls, revision))


def scopes_of(calls: Sequence[str], revision: str) -> tuple[str, ...]:
    """Returns the scopes that `calls` need at the revision, in the order of the calls."""
    known = endpoints(revision)
    return tuple(dict.fromkeys(scope for call in calls if call in known for scope in known[call].scopes))
