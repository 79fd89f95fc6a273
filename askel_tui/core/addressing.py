"""Addressing of requests: which calls name a profile by its id, and which identifiers a consent write may name."""

from __future__ import annotations

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.operations import Identity, Operation

NEEDS_PROFILE_ID = frozenset({Call.ADD_PROFILES_TO_LIST, Call.REMOVE_PROFILES_FROM_LIST})
"""Calls that name profiles by Klaviyo's id only (docs/klaviyo.md 3.1)."""

CONSENT_CALLS = frozenset({Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES})
"""Writes of consent: they are never repeated automatically once their outcome is unknown."""


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
