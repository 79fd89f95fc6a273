"""Addressing of requests: which calls name a profile by its id, and which identifiers a consent write may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.operations import Identity, Operation

NEEDS_PROFILE_ID = frozenset({Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST})
"""Calls that name profiles by Klaviyo's id only (docs/klaviyo.md 3.1)."""

CONSENT_CALL_OF_STEP: Mapping[str, Call] = {
    "subscribe": Call.BULK_SUBSCRIBE_PROFILES,
    "unsubscribe": Call.BULK_UNSUBSCRIBE_PROFILES,
    "suppress": Call.BULK_SUPPRESS_PROFILES,
    "unsuppress": Call.BULK_UNSUPPRESS_PROFILES,
}
"""The endpoints that change consent, each with the one kind of step that may reach it; workflows have the first two."""

CONSENT_CALLS = frozenset({Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES})
"""Writes of consent: they are never repeated automatically once their outcome is unknown."""

_STEP_OF_CONSENT_CALL = {call: kind for kind, call in CONSENT_CALL_OF_STEP.items()}


def require_consent_steps(call: Call, operations: Sequence[Operation]) -> None:
    """Raises `ValueError` for a call that changes consent, unless all that it carries are steps that may."""
    kind = _STEP_OF_CONSENT_CALL.get(call)
    if kind is not None and not (operations and all(each.kind == kind for each in operations)):
        raise ValueError(f"only {kind} steps may reach {call}")


def consent_identifiers(operation: Operation) -> dict[str, str]:
    """Returns only the identifiers of the channels that a consent operation names: consent is never widened by what
    else is known."""
    wanted = {CHANNEL_IDENTIFIER[channel] for channel in operation.body["channels"]}
    return {name: value for name, value in operation.profile.identifiers().items() if name in wanted}


def addressed_identity(operation: Operation) -> Identity:
    """Returns the identity that the operation's request names: for consent, only identifiers of the channels asked
    for."""
    if operation.call in CONSENT_CALLS:
        return Identity(**consent_identifiers(operation))
    return operation.profile
