"""Caps of single fields and objects per revision, and the names of a profile's standard attributes. Pure.

Limits of whole calls (items, bytes) are in `endpoints`. A size in bytes takes the smaller reading of KB and
MB: what fits 1000 fits 1024. Caps have only ever grown, so a revision's own are also within those of what serves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from askel_tui.contract.revisions import REVISIONS, Ability, can

_BYTES_PER_KB = 1000
_BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Caps:
    """The caps of one revision. Lengths are in characters, sizes in bytes of UTF-8 JSON."""

    email: int = 100
    """The longest e-mail address (docs/klaviyo.md 3.1)."""
    external_id: int = 255
    """The longest external id; Klaviyo states no cap, so this is the one of its other free identifiers (unique_id,
    3.4)."""
    profile_bytes: int = 100 * _BYTES_PER_KB
    """The largest payload of a profile (docs/klaviyo.md 3.4, stated from 2025-01-15 on)."""
    event_properties: int = 400
    """The most properties of one event (docs/klaviyo.md 3.4: 300 until 2025-04-15)."""
    event_string_bytes: int = 100 * _BYTES_PER_KB
    """The largest string in an event (docs/klaviyo.md 3.4)."""
    event_bytes: int = 5 * _BYTES_PER_MB
    """The largest event (docs/klaviyo.md 3.4)."""
    event_profile_bytes: int = 95 * _BYTES_PER_KB
    """The largest profile object inside an event (docs/klaviyo.md 3.4)."""
    array_items: int = 4000
    """The most elements of an array in an event (docs/klaviyo.md 3.4)."""
    nesting: int = 10
    """The most levels of objects and arrays in an event's properties (docs/klaviyo.md 3.4)."""
    metric_name: int = 127
    """The longest name of a metric: under 128 (docs/klaviyo.md 3.4)."""
    unique_id: int = 255
    """The longest `unique_id` of an event; the shortest has one character (docs/klaviyo.md 3.4)."""
    event_year_floor: int = 1991
    """The first year in which an event may lie, UTC: after 1990, before 2026-07-15 after 2000 (docs/klaviyo.md 3.4)."""
    event_days_ahead: int = 365
    """The largest number of days by which an event may lie ahead of now: one year (docs/klaviyo.md 3.4)."""


DROPPED_EVENT_DOMAINS = frozenset({"example.com", "example.net", "example.org", "test.com"})
"""The domains of e-mail addresses of which Klaviyo accepts events and keeps none (docs/klaviyo.md 3.3)."""

LOCATION = (
    "address1",
    "address2",
    "city",
    "country",
    "ip",
    "latitude",
    "longitude",
    "region",
    "timezone",
    "zip",
)
"""The fields of a profile's location, the same in every revision (OpenAPI: ProfileLocation)."""

_TOP = ("first_name", "last_name", "organization", "title", "image")
_DOTTED = tuple(f"location.{name}" for name in LOCATION)

ALL_STANDARD_ATTRIBUTES = tuple(sorted((*_TOP, "locale", *_DOTTED)))
"""A profile's writable attributes of any revision, dotted; identifiers and `properties` aside."""


@cache
def standard_attributes(revision: str) -> frozenset[str]:
    """Returns a profile's writable attributes at a revision, dotted; identifiers and `properties` aside."""
    has_locale = can(revision, Ability.PROFILE_LOCALE)
    return frozenset(name for name in ALL_STANDARD_ATTRIBUTES if has_locale or name != "locale")


@cache
def caps(revision: str) -> Caps:
    """Returns the caps of a revision. Raises `LookupError` for one that the contract data does not hold."""
    if revision not in REVISIONS:
        raise LookupError(f"No caps are known for revision {revision}; known are {', '.join(REVISIONS)}.")
    return Caps(
        event_properties=400 if can(revision, Ability.EVENT_PROPERTIES_400) else 300,
        event_year_floor=1991 if can(revision, Ability.EVENTS_FROM_1990) else 2001,
    )
