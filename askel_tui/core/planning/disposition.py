"""Decides what becomes of an operation before it is sent. Pure: the dry run and live call the same functions.

They are given what is known of the account. Live has read all that matters when an operation's turn comes; a dry run
knows less, since earlier operations of its own may change the answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import DROPPED_EVENT_DOMAINS, Caps
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.operations import Identity, OnConflict, Operation
from askel_tui.core.opt_outs import OptOuts, find_refusals
from askel_tui.text.quoting import quote
from askel_tui.text.times import describe_clock

DispositionKind = Literal["send", "confirm", "skip", "refuse", "wait", "depends"]
"""What becomes of an operation: it is sent (`confirm`: a person has to confirm it before it has an effect), skipped,
refused as it would be by Klaviyo, waits until the account can be read, or depends on what can't be known yet."""

DOUBLE_OPT_IN = "double_opt_in"

CONFIRMATION_NOTE = "a confirmation is sent; consent and list follow once it is clicked"

UNKNOWN_OPT_IN_NOTE = f"depends on the opt-in process: where it is double, {CONFIRMATION_NOTE}"

UNREADABLE_CONSENT = "whether the person has opted out can't be read"

MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the account for one operation; None is unknown, or of no matter to the operation."""

    exists: bool | None = None
    """Whether the account has the profile."""
    identified_as: str | None = None
    """The id of the profile that is known to have all of the identifiers."""
    member: bool | None = None
    """Whether the profile is on the list, or in the segment, that the operation names."""
    opt_in: str | None = None
    """The opt-in process of the list."""
    asked_since: int | None = None
    """When a gate that waits was asked first, in milliseconds since 1970; None where it is not asked yet."""
    opt_outs: OptOuts | None = None
    """The opt-outs of the profile, where a subscription asks for them."""
    changing: str | None = None
    """Why the account may answer otherwise when the operation's turn comes. Never set when it has come."""


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Disposition:
    """What becomes of an operation, and why."""

    kind: DispositionKind
    why: str = ""
    field: str | None = None
    """The field that a refusal is about."""
    operation: Operation | None = None
    """The operation that is sent instead, without the channels on which consent is refused."""
    refused: str = ""
    """Why consent is refused, on some channels, or where the operation is skipped on all of them."""


SEND = Disposition("send")


def dispose(
    operation: Operation, known: Known, now: int, limits: Caps, server_now: int | None = None
) -> Disposition:
    """Decides what becomes of an operation. `now` is in milliseconds since 1970, and so is `server_now`: the time by
    Klaviyo's clock, where it is known."""
    refused = refused_time(operation, now, limits, server_now)
    if refused is not None:
        return refused
    if known.changing is not None:
        return Disposition("depends", known.changing)
    match operation.call:
        case Call.GET_PROFILES_FOR_SEGMENT:
            return _dispose_gate(operation, known, now)
        case Call.CREATE_OR_UPDATE_PROFILE if known.identified_as is not None:
            return Disposition("skip", f"known as {known.identified_as}")
        case Call.REMOVE_PROFILES_FROM_LIST if known.exists is False:
            return Disposition("skip", "no such profile: nothing to remove")
        case Call.BULK_SUBSCRIBE_PROFILES:
            return _dispose_subscription(operation, known, now if server_now is None else server_now)
        case Call.BULK_UNSUBSCRIBE_PROFILES if operation.destination is not None and known.member is False:
            target = operation.destination.name
            return Disposition("skip", f"not on {target}: Klaviyo would unsubscribe the profile everywhere")
    return SEND


def _dispose_subscription(operation: Operation, known: Known, now: int) -> Disposition:
    found = SEND
    if known.opt_in == DOUBLE_OPT_IN and not operation.body.get("historical"):
        found = Disposition("confirm", CONFIRMATION_NOTE)
    if "proof" not in operation.body:
        return found
    channels: Sequence[str] = operation.body["channels"]
    if known.opt_outs is None or any(known.opt_outs.get(channel, ()) is None for channel in channels):
        return Disposition("wait", UNREADABLE_CONSENT)
    refused = find_refusals(operation, known.opt_outs, now)
    if not refused:
        return found
    why = f"not subscribed again: {'; '.join(refused.values())}"
    left = [channel for channel in channels if channel not in refused]
    if not left:
        return Disposition("skip", why, refused=why)
    narrowed = replace(operation, body={**operation.body, "channels": left})
    return replace(found, operation=narrowed, refused=why)


def dropped_event(operation: Operation) -> str | None:
    """Says that Klaviyo would accept an event and not keep it, for its profile's address (docs/klaviyo.md 3.3); None
    for anything else."""
    if operation.call != Call.CREATE_EVENT or operation.profile.email is None:
        return None
    domain = operation.profile.email.rpartition("@")[2].lower()
    return f"Klaviyo keeps no events of {domain}" if domain in DROPPED_EVENT_DOMAINS else None


def _dispose_gate(gate: Operation, known: Known, now: int) -> Disposition:
    refusal = gate_refusal(gate, known.member)
    if refusal is None:
        return SEND
    within = gate.body.get("within")
    if known.member is None:
        return Disposition("wait", refusal)
    if within is None or (known.asked_since is not None and now >= known.asked_since + within * 1000):
        return Disposition("skip", refusal)
    if known.asked_since is None:
        return Disposition("depends", f"whether that changes within {within} s: {refusal}")
    return Disposition("wait", f"{refusal}; it is asked again for {within} s")


def next_ask(began: int, now: int, within: int, asks_s: Sequence[float]) -> int:
    """Finds when a gate that waits is asked again: at the next of the given times after it began, or at its end."""
    end = began + within * 1000
    times = (began + int(each * 1000) for each in asks_s)
    return next((each for each in times if now < each < end), end)


def refused_time(
    operation: Operation, machine_now: int, limits: Caps, server_now: int | None = None
) -> Disposition | None:
    """Finds a time in the operation that Klaviyo refuses: an event's that is too far ahead, or consent of the past
    that is given later (docs/klaviyo.md 3.4, 6). Klaviyo judges by its own clock."""
    now = machine_now if server_now is None else server_now
    if operation.call == Call.CREATE_EVENT:
        when = operation.body["time"]
        if _is_after(when, now + limits.event_days_ahead * MS_PER_DAY, now):
            days = limits.event_days_ahead
            return Disposition(
                "refuse",
                f"Klaviyo takes no events more than {days} days ahead: {quote(when)}"
                f"{_clock_note(machine_now, server_now)}",
                "time",
            )
    elif operation.call == Call.BULK_SUBSCRIBE_PROFILES and "consented_at" in operation.body:
        when = operation.body["consented_at"]
        if not _is_after(when, now - 1, now):
            return None
        return Disposition(
            "refuse",
            f"consent can't be given later than now: {quote(when)}{_clock_note(machine_now, server_now)}",
            "consented_at",
        )
    return None


def _clock_note(machine_now: int, server_now: int | None) -> str:
    found = None if server_now is None else describe_clock(machine_now, server_now)
    return "" if found is None else f" ({found})"


def _is_after(when: str, limit: int, now: int) -> bool:
    """Checks whether a time of RFC 3339 is after a limit that is not before `now` (but for a millisecond)."""
    today = time.gmtime(now // 1000)
    if when[:7] < f"{today.tm_year:04}-{today.tm_mon:02}":
        # Nearly all times, and no offset leads out of more than a day of the month before.
        return datetime.fromisoformat(when).timestamp() * 1000 > limit if today.tm_mday < 3 else False
    return datetime.fromisoformat(when).timestamp() * 1000 > limit


def left_out_note(channels: Sequence[str]) -> str:
    """Describes the channels that a consent write leaves out."""
    needed = ", ".join(dict.fromkeys(CHANNEL_IDENTIFIER[channel] for channel in channels))
    return f"left out: {', '.join(channels)} (the record has no {needed})"


def gate_refusal(gate: Operation, member: bool | None) -> str | None:
    """Describes why a gate skips the steps below it; None where it lets them pass."""
    segment = gate.target.name if gate.target else "?"
    if member is None:
        return f"whether the profile is in {segment} can't be read; the steps below would wait"
    wanted = bool(gate.body["member"])
    if member == wanted:
        return None
    return f"the profile is {'' if member else 'not '}in {segment}"


def describe_gate_answer(gate: Any) -> str:
    """Describes what an audit entry says of a gate's answer, for people; empty where it says nothing."""
    if not isinstance(gate, dict):
        return ""
    where = "in the segment" if gate.get("member") else "not in the segment"
    return f"{where}, as read at {gate.get('read')}, {gate.get('age_ms')} ms before it counted"


Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class ConflictResolution(Generic[Owner]):
    """What becomes of an upsert whose identifiers belong to several profiles.

    `refuse`: it fails. `narrow`: `operation`, with fewer identifiers, is sent instead. `merge`: the profiles `sources`
    become part of `into` for good, and then the operation is sent.
    """

    kind: Literal["refuse", "narrow", "merge"]
    operation: Operation
    into: Owner | None = None
    sources: tuple[Owner, ...] = ()


def resolve_conflict(
    operation: Operation, policy: OnConflict, owners: Sequence[Owner]
) -> ConflictResolution[Owner]:
    """Decides about an upsert that names identifiers of several profiles (docs/klaviyo.md 2.5, 3.1).

    `owners` are those profiles, that of the strongest identifier first.
    """
    if policy == "strongest":
        name, value = next(iter(operation.profile.identifiers().items()))
        return ConflictResolution("narrow", replace(operation, profile=Identity(**{name: value})))
    if policy == "fail" or len(owners) < 2:
        return ConflictResolution("refuse", operation)
    return ConflictResolution("merge", operation, owners[0], tuple(owners[1:]))
