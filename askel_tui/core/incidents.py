"""Incidents: one cause that stops one step or many. An incident gives one notice, and one when it is over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from askel_tui.core.hold_causes import Cause, hold_cause

SEPARATOR = "|"

WIDE_OUTAGE = f"{Cause.OUTAGE}{SEPARATOR}"
"""The incident of an outage of so many accounts that it is Klaviyo's."""

MIN_ACCOUNTS_OF_WIDE_OUTAGE = 3
WIDE_OUTAGE_WINDOW_MS = 60_000
"""The time within which the accounts of a wide outage are held, in milliseconds."""


def incident_of(cause: str, subject: str, connection: str, *, account: str, key: str, revision: str) -> str:
    """Names the incident of a hold: holds of one name have one cause.

    What is wrong with a key stops all its connections, an outage its account, a revision that is gone all that are
    pinned to it, a changed account all that names the same. `subject` is what was found, in words or as evidence.
    """
    about = hold_cause(cause)
    if about.is_about_key:
        parts = [key]
    elif cause in (Cause.OUTAGE, Cause.LIMIT):
        parts = [account]
    elif cause == Cause.REVISION:
        parts = [revision]
    elif cause == Cause.RETIRED:
        parts = [connection, revision]
    elif about.is_account_change:
        parts = [account, subject]
    else:
        parts = [connection, subject]
    return SEPARATOR.join([cause, *parts])


def key_of_incident(incident: str) -> str | None:
    """Returns the key (its fingerprint) that an incident stops altogether; None for any other incident."""
    cause, _, key = incident.partition(SEPARATOR)
    return key if cause in (Cause.KEY_REFUSED, Cause.OTHER_ACCOUNT) else None


def reminder_due(noticed: int, reminded: int, count: int, after_ms: Sequence[int]) -> int:
    """Returns when the next reminder of an incident is due.

    It was noticed at `noticed`, and `count` reminders were given, the last one at `reminded`. `after_ms` are the times
    after the notice; from the last of them on, its length is the interval.
    """
    return noticed + after_ms[count] if count < len(after_ms) else reminded + after_ms[-1]
