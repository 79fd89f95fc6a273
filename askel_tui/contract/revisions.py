"""Klaviyo's revisions as dates: when each was released and retires, what it can, what serves it afterwards. Pure.

A revision is named by the day of its release. What follows from dates is worked out for a day that is handed in
(docs/klaviyo.md 0.3, 0.4).
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HELD: Final = True
_DATE_ONLY: Final = False

RELEASES: Mapping[str, bool] = MappingProxyType(
    {
        "2023-12-15": _DATE_ONLY,
        "2024-02-15": _HELD,
        "2024-05-15": _DATE_ONLY,
        "2024-06-15": _DATE_ONLY,
        "2024-07-15": _DATE_ONLY,
        "2024-10-15": _DATE_ONLY,
        "2025-01-15": _HELD,
        "2025-04-15": _DATE_ONLY,
        "2025-07-15": _DATE_ONLY,
        "2025-10-15": _DATE_ONLY,
        "2026-01-15": _DATE_ONLY,
        "2026-04-15": _DATE_ONLY,
        "2026-07-15": _HELD,
        "2026-10-15": _HELD,
    }
)
"""All revisions that were released, oldest first; `_HELD` where the contract data has their endpoints and rules. A new
revision is a line here."""

REVISIONS = tuple(revision for revision, held in RELEASES.items() if held)
"""The revisions whose rules are at hand, oldest first: those that the program speaks and a connection may pin."""

NEWEST = REVISIONS[-1]
"""The revision that new connections pin."""


class RevisionStatus(StrEnum):
    """What Klaviyo calls a revision on a day: one year stable, one more deprecated, then retired."""

    STABLE = "stable"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class Ability(StrEnum):
    """Something that a revision can, and earlier ones can't."""

    SEGMENT_DEFINITIONS = "segment_definitions"
    HISTORICAL_CONSENT = "historical_consent"
    PROFILE_LOCALE = "profile_locale"
    FLOW_TRIGGERS = "flow_triggers"
    FLOW_DEFINITIONS = "flow_definitions"
    EVENT_PROPERTIES_400 = "event_properties_400"
    WHATSAPP_CONSENT = "whatsapp_consent"
    LIST_OPT_IN = "list_opt_in"
    PUSH_CONSENT = "push_consent"
    EVENT_BACKFILL = "event_backfill"
    EVENTS_FROM_1990 = "events_from_1990"
    EVENT_PROFILE_META = "event_profile_meta"
    CLICK_TRACKING = "click_tracking"


SINCE: Mapping[Ability, date] = MappingProxyType(
    {
        Ability.SEGMENT_DEFINITIONS: date(2024, 6, 15),
        Ability.HISTORICAL_CONSENT: date(2024, 7, 15),
        Ability.PROFILE_LOCALE: date(2024, 7, 15),
        Ability.FLOW_TRIGGERS: date(2024, 10, 15),
        Ability.FLOW_DEFINITIONS: date(2025, 1, 15),
        Ability.EVENT_PROPERTIES_400: date(2025, 4, 15),
        Ability.WHATSAPP_CONSENT: date(2025, 7, 15),
        Ability.LIST_OPT_IN: date(2025, 10, 15),
        Ability.PUSH_CONSENT: date(2026, 1, 15),
        Ability.EVENT_BACKFILL: date(2026, 4, 15),
        Ability.EVENTS_FROM_1990: date(2026, 7, 15),
        Ability.EVENT_PROFILE_META: date(2026, 10, 15),
        Ability.CLICK_TRACKING: date(2026, 10, 15),
    }
)
"""Since when revisions can what (docs/klaviyo.md 0.4); `changes` has the changes in words."""


@cache
def released_on(revision: str) -> date:
    """Returns the day of a revision's release. Raises `ValueError` for a text that names no day."""
    return date.fromisoformat(revision.removesuffix(".pre"))


def can(revision: str, ability: Ability) -> bool:
    """Checks whether a revision has an ability: by its date, so that revisions yet to come keep what there is."""
    return released_on(revision) >= SINCE[ability]


def deprecated_on(revision: str) -> date:
    """Returns the day on which a revision stops being stable: a year after its release."""
    return _years_later(released_on(revision), 1)


def retired_on(revision: str) -> date:
    """Returns the day of a revision's retirement: two years after its release."""
    return _years_later(released_on(revision), 2)


def days_left(revision: str, today: date) -> int:
    """Counts the days until a revision's retirement; 0 or less once it is retired."""
    return (retired_on(revision) - today).days


def status(revision: str, today: date) -> RevisionStatus:
    """Returns whether a revision is stable, deprecated or retired on a day."""
    if today >= retired_on(revision):
        return RevisionStatus.RETIRED
    return RevisionStatus.DEPRECATED if today >= deprecated_on(revision) else RevisionStatus.STABLE


def resolved_revision(named: str) -> str:
    """Returns the released revision that a date means: the last one that is not later; else the first known."""
    day = released_on(named)
    return max((one for one in RELEASES if released_on(one) <= day), default=next(iter(RELEASES)))


def serving_revision(revision: str, today: date) -> str:
    """Returns the released revision whose rules serve a call that names this one on a day.

    A retired one is served by the oldest that is not; where all that are known are retired, by the newest of them.
    """
    meant = resolved_revision(revision)
    if status(meant, today) is not RevisionStatus.RETIRED:
        return meant
    alive = (one for one in RELEASES if status(one, today) is not RevisionStatus.RETIRED)
    return next(alive, max(RELEASES))


@cache
def judging_revisions(revision: str) -> tuple[str, ...]:
    """Returns the revisions whose rules judge a call that this one serves: itself, or where its rules are not at hand
    the nearest ones before and after it, both."""
    if revision in REVISIONS:
        return (revision,)
    day = released_on(revision)
    before = [one for one in REVISIONS if released_on(one) < day][-1:]
    after = [one for one in REVISIONS if released_on(one) > day][:1]
    return (*before, *after)


@cache
def binding_revisions(revision: str) -> tuple[str, ...]:
    """Returns the revisions to whose rules a request at this one keeps: first its own, then those of all that will
    serve it in its retirement while the newest revision is stable.

    So no day changes what is sent, and a request is valid on the day of a retirement and on the day after.
    """
    judges = [revision]
    days = [released_on(NEWEST), *(retired_on(one) for one in RELEASES)]
    for day in sorted(days):
        if released_on(NEWEST) <= day <= deprecated_on(NEWEST):
            judges += judging_revisions(serving_revision(revision, day))
    return tuple(dict.fromkeys(judges))


def describe(revision: str, today: date) -> str:
    """Describes a revision on a day: "stable until …", "deprecated, retires on …", "retired, served as …"."""
    found, last = status(revision, today), retired_on(revision)
    if found is RevisionStatus.STABLE:
        return f"stable until {deprecated_on(revision)}"
    if found is RevisionStatus.DEPRECATED:
        left = days_left(revision, today)
        return f"deprecated, retires on {last}: {left} {'day' if left == 1 else 'days'} left"
    serving = serving_revision(revision, today)
    if status(serving, today) is RevisionStatus.RETIRED:
        return "retired, served by a revision newer than this Askel knows"
    return f"retired, served as {serving}{_judged(serving)}"


def describe_service(revision: str, today: date) -> str:
    """Describes how a revision is served on a day, where it is retired; else empty."""
    return describe(revision, today) if status(revision, today) is RevisionStatus.RETIRED else ""


def _judged(serving: str) -> str:
    if serving in REVISIONS:
        return ""
    judges = judging_revisions(serving)
    names = " and ".join(f"{one}'s" for one in judges)
    return f", whose rules are not at hand: judged by {names}" + (" both" if len(judges) > 1 else "")


def _years_later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # the 29th of February
        return date(day.year + years, 3, 1)
