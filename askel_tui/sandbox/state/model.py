"""The contents of an account, as plain rows. Times are seconds since 1970."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Any, Final

IDENTIFIERS: Final = ("email", "phone_number", "external_id", "anonymous_id", "_kx")
"""A profile's identifiers, the strongest first."""

ATTRIBUTES: Final = (
    "email",
    "phone_number",
    "external_id",
    "anonymous_id",
    "whatsapp_bsuid",
    "first_name",
    "last_name",
    "organization",
    "locale",
    "title",
    "image",
)
LOCATION_FIELDS: Final = (
    "address1",
    "address2",
    "city",
    "country",
    "latitude",
    "longitude",
    "region",
    "zip",
    "timezone",
    "ip",
)


_ASCII_LOWER: Final = {ord(capital): capital.lower() for capital in string.ascii_uppercase}


def ascii_lower(text: str) -> str:
    """Returns the text with its ASCII letters small, as e-mail addresses are compared."""
    return text.translate(_ASCII_LOWER)


@dataclass(slots=True)
class Profile:
    """One profile; `consent.py` keeps `consent` and `suppressions`."""

    id: str
    created: float
    updated: float
    attributes: dict[str, Any] = field(default_factory=dict)
    location: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    last_event: float | None = None
    lists: dict[str, float] = field(default_factory=dict)
    """The lists that the profile is on, with the time it joined each."""
    consent: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The consent by channel and kind, as "email.marketing"."""
    suppressions: list[dict[str, Any]] = field(default_factory=list)
    list_suppressions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ProfileList:
    """A list and its members (profile id → time joined)."""

    id: str
    name: str
    created: float
    updated: float
    opt_in_process: str = "single_opt_in"
    members: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Segment:
    """A segment. `members` set: an explicit membership; None: the definition decides."""

    id: str
    name: str
    created: float
    updated: float
    definition: dict[str, Any] | None = None
    is_active: bool = True
    is_starred: bool = False
    is_processing: bool = False
    members: dict[str, float] | None = None


@dataclass(slots=True)
class Metric:
    """A metric and the integration that made it."""

    id: str
    name: str
    created: float
    updated: float
    integration: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    """The event properties that occurred, with the type of their first value."""


@dataclass(slots=True)
class Flow:
    """A flow. `trigger` is its definition's first trigger, `starts` the profiles it has started for."""

    id: str
    name: str
    created: float
    updated: float
    status: str = "draft"
    archived: bool = False
    trigger: dict[str, Any] | None = None
    profile_filter: dict[str, Any] | None = None
    starts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def trigger_type(self) -> str:
        """The `trigger_type` that Klaviyo shows; for a segment that is not documented (docs/klaviyo.md 8)."""
        return _TRIGGER_TYPES.get(str(self.trigger.get("type")) if self.trigger else "", "Unconfigured")


_TRIGGER_TYPES: Final = {
    "list": "Added to List",
    "segment": "Added to List",
    "metric": "Metric",
    "date": "Date Based",
}


@dataclass(slots=True)
class Template:
    """A template."""

    id: str
    name: str
    created: float
    updated: float
    editor_type: str = "CODE"
    html: str = ""
    text: str | None = None
    amp: str | None = None


@dataclass(slots=True)
class Event:
    """One event. `time` is whole seconds; `unique_id` is None when the second stood in for it."""

    id: str
    number: int
    metric: str
    profile: str
    time: int
    properties: dict[str, Any]
    unique_id: str | None = None
    value: float | None = None
    value_currency: str | None = None
    backfill: bool = False
    received: float = 0.0


@dataclass(slots=True)
class Job:
    """A bulk job: `kind` is `import`, `suppress` or `unsuppress`; `rows` wait until it is carried out."""

    id: str
    kind: str
    created: float
    total: int
    started: float | None = None
    due: float | None = None
    ended: float | None = None
    status: str = "queued"
    lists: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    skipped: int = 0
