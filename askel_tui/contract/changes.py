"""Changes of Klaviyo's API that the endpoints' data does not show: since when, of which calls, in words. Pure.

Paths, media types, limits, pages and scopes are compared from the data (docs/klaviyo.md 0.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from askel_tui.contract.calls import Call

_UPSERTS = frozenset({Call.CREATE_OR_UPDATE_PROFILE, Call.BULK_IMPORT_PROFILES})
_EVENTS = frozenset({Call.CREATE_EVENT, Call.BULK_CREATE_EVENTS})
_SUBSCRIBE = frozenset({Call.BULK_SUBSCRIBE_PROFILES})
_CONSENT = frozenset({Call.BULK_SUBSCRIBE_PROFILES, Call.BULK_UNSUBSCRIBE_PROFILES})
_PROFILES = frozenset(
    {
        Call.GET_PROFILES,
        Call.GET_PROFILES_FOR_LIST,
        Call.GET_PROFILES_FOR_SEGMENT,
        Call.CREATE_OR_UPDATE_PROFILE,
    }
)


@dataclass(frozen=True, slots=True)
class ContractChange:
    """A change that came with a revision: the calls that it is about, and what it is."""

    since: str
    calls: frozenset[Call]
    words: str


CONTRACT_CHANGES = (
    ContractChange(
        "2024-05-15",
        _SUBSCRIBE,
        "subscribing refuses more at once: people under an age gate, phone numbers of regions without SMS, a time of "
        "consent with double opt-in",
    ),
    ContractChange(
        "2024-05-15",
        frozenset({Call.GET_LISTS, Call.GET_SEGMENTS}),
        "lists and segments can be asked for in an order",
    ),
    ContractChange("2024-05-15", frozenset({Call.GET_ACCOUNTS}), "an account shows its locale"),
    ContractChange(
        "2024-06-15",
        frozenset({Call.GET_SEGMENT, Call.GET_SEGMENTS}),
        "a segment shows its definition: a redefined one is noticed",
    ),
    ContractChange("2024-07-15", _UPSERTS, "a profile has a locale"),
    ContractChange(
        "2024-07-15",
        _SUBSCRIBE,
        "consent may be dated in the past (historical_import); a dated one that is not history is refused",
    ),
    ContractChange(
        "2024-10-15",
        frozenset({Call.GET_LIST, Call.GET_SEGMENT, Call.GET_METRICS, Call.GET_FLOWS}),
        "lists, segments and metrics show the flows that they fire",
    ),
    ContractChange(
        "2024-10-15", frozenset({Call.GET_METRICS}), "a metric shows the properties of its events"
    ),
    ContractChange("2024-10-15", frozenset({Call.BULK_UNSUBSCRIBE_PROFILES}), "unsubscribing names channels"),
    ContractChange("2024-10-15", _SUBSCRIBE, "transactional SMS is a consent of its own"),
    ContractChange("2025-01-15", _CONSENT, "every profile of a consent call has to name its channels"),
    ContractChange("2025-01-15", frozenset({Call.GET_FLOW, Call.GET_FLOWS}), "a flow shows its definition"),
    ContractChange("2025-01-15", _UPSERTS, "a profile has at most 100 KB"),
    ContractChange("2025-04-15", _EVENTS, "an event has up to 400 properties (300 before)"),
    ContractChange("2025-07-15", _CONSENT, "WhatsApp is a channel of consent"),
    ContractChange(
        "2025-10-15", _UPSERTS | _EVENTS, "a profile takes no anonymous_id any more (Askel sends none)"
    ),
    ContractChange("2025-10-15", frozenset({Call.GET_LIST, Call.GET_LISTS}), "a list's opt-in can be set"),
    ContractChange(
        "2025-10-15", frozenset({Call.GET_PROFILES_FOR_SEGMENT}), "a segment can be asked for profile ids"
    ),
    ContractChange("2026-01-15", _SUBSCRIBE, "push is a channel of consent"),
    ContractChange(
        "2026-01-15", frozenset({Call.GET_EVENTS}), "events are read up to 1,000 a page (200 before)"
    ),
    ContractChange("2026-01-15", frozenset({Call.GET_SEGMENT}), "a segment can be switched on and off"),
    ContractChange(
        "2026-04-15",
        frozenset({Call.CREATE_OR_UPDATE_PROFILE}),
        "an upsert can say which identifiers it changes",
    ),
    ContractChange("2026-04-15", _SUBSCRIBE, "tracking of opened e-mail is a consent of its own"),
    ContractChange("2026-04-15", _EVENTS, "an event may say that it is history and fires no flow"),
    ContractChange(
        "2026-04-15",
        _PROFILES | {Call.GET_LISTS, Call.GET_SEGMENTS},
        "pages no longer name their first and last (Askel follows the next one)",
    ),
    ContractChange("2026-07-15", _EVENTS, "an event may lie back to 1991 (2001 before)"),
    ContractChange("2026-07-15", _PROFILES, "a profile's conversations are several"),
    ContractChange(
        "2026-10-15",
        frozenset({Call.CREATE_EVENT}),
        "in a single event the profile's meta stands beside its attributes, not in them",
    ),
    ContractChange("2026-10-15", _CONSENT, "tracking of clicks in e-mail is a consent of its own"),
    ContractChange("2026-10-15", _PROFILES, "a profile shows its consent to tracking of clicks"),
    ContractChange("2026-10-15", frozenset({Call.GET_ACCOUNTS}), "an account's city may be missing"),
)
"""The changes, oldest first."""
