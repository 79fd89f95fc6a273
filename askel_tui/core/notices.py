"""Texts of notices: what happened, since when, how many operations wait, and what to do. Never a key or a payload.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from askel_tui.core.hold_causes import hold_cause
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_age, format_timestamp

STAYS = (
    "It came back twice within ten minutes of being released, so it stays until somebody acts, even where the cause is "
    "gone by then."
)


MAX_NAMED_STEPS = 10
"""The number of steps that a notice names; the others are counted."""


@dataclass(frozen=True, slots=True)
class AffectedStep:
    """A step that a notice is about, and how many of its operations wait."""

    workflow: str
    step: str
    waiting: int = 0
    connection: str = ""


def affected_steps(steps: Iterable[AffectedStep]) -> list[AffectedStep]:
    """Makes one of the versions of a step that are affected; their operations are counted together."""
    found: dict[tuple[str, str, str], AffectedStep] = {}
    for each in steps:
        key = (each.connection, each.workflow, each.step)
        known = found.get(key)
        found[key] = each if known is None else replace(known, waiting=known.waiting + each.waiting)
    return list(found.values())


def hold_notice(
    connection: str,
    cause: str,
    detail: str,
    since: int,
    affected: Sequence[AffectedStep],
    *,
    stays: bool = False,
) -> str:
    """Writes the notice that a hold began, for all steps that it holds. `since` is in milliseconds since 1970.

    With `stays` it ends by a person only.
    """
    about = hold_cause(cause)
    first = affected[0]
    waiting = sum(each.waiting for each in affected)
    shown = affected[:MAX_NAMED_STEPS]
    releases = (
        ""
        if about.is_passing
        else " ".join(f"`askel hold release {each.workflow} {each.step}`" for each in shown)
    )
    others = sorted({each.connection for each in affected} - {connection, ""})
    remedy = STAYS if stays else about.remedy.format(connection=connection)
    if others and "{connection}" in about.remedy:
        remedy += f" The same for {', '.join(others)}."
    if releases:
        remedy += f" Once it is put right: {releases}"
    verb = "are" if len(affected) > 1 else "is"
    more = "".join(f", workflow {each.workflow}, step {each.step}" for each in shown[1:])
    if len(affected) > len(shown):
        more += f" and {pluralize(len(affected) - len(shown), 'more step')}"
    if others:
        more += f" (connections {', '.join(sorted({connection, *others}))})"
    return (
        f"Workflow {first.workflow}, step {first.step}{more} {verb} held since {_format_time(since)}: "
        f"{about.description} ({detail}). {pluralize(waiting, 'operation waits', 'operations wait')}, in order; "
        f"nothing is lost. {remedy.strip()}"
    ).strip()


def hold_ended_notice(
    workflow: str, step: str, detail: str, since: int, now: int, actor: str, operations: int, steps: int = 1
) -> str:
    """Writes the notice of a hold that ended, the last of `steps` that its cause held."""
    by = "by itself" if actor == "askel" else f"released by {actor}"
    sent = pluralize(operations, "operation is", "operations are")
    last = f", the last of {steps} steps that were held for it" if steps > 1 else ""
    return (
        f"Workflow {workflow}, step {step} goes on since {_format_time(now)}, {by}{last}; "
        f"it was held since {_format_time(since)} ({detail}). {sent} sent now, in order."
    )


def hold_replaced_notice(workflow: str, step: str, detail: str, since: int, now: int) -> str:
    """Writes the notice that the cause of a hold is gone, where another one holds the step now."""
    return (
        f"What held workflow {workflow}, step {step} since {_format_time(since)} ({detail}) is over since "
        f"{_format_time(now)}; the step is held for another cause now."
    )


def incident_over_notice(connection: str, detail: str, now: int) -> str:
    """Writes the notice that what stopped a connection, and others, is over."""
    return f"What stopped steps of {connection} ({detail}) is over since {_format_time(now)}."


def hold_deleted_notice(
    workflow: str, step: str, detail: str, since: int, now: int, actor: str, operations: int
) -> str:
    """Writes the notice of a hold that ended with its workflow."""
    gone = pluralize(operations, "operation was", "operations were")
    return (
        f"Workflow {workflow} was deleted by {actor} at {_format_time(now)}, "
        f"and with it what held its step {step} since {_format_time(since)} ({detail}). {gone} given up."
    )


def warning_notice(workflow: str, step: str, detail: str, now: int) -> str:
    """Writes the notice of a finding that holds nothing."""
    return (
        f"Workflow {workflow}, step {step}: {detail} (found {_format_time(now)}). Nothing is held; look whether the "
        "workflow still does what it should."
    )


def warning_ended_notice(workflow: str, step: str, detail: str, now: int) -> str:
    """Writes the notice that the cause of a warning is gone."""
    return f"Workflow {workflow}, step {step}: no longer so since {_format_time(now)}: {detail}."


def waiting_notice(workflow: str, since: int, now: int, waiting: int, unplanned: int) -> str:
    """Writes the notice that records of a workflow wait long, and no hold is the reason."""
    planned = f", {pluralize(unplanned, 'record')} more to be planned" if unplanned else ""
    return (
        f"Workflow {workflow}: the oldest record that waits came {format_age(since, now)} ago, at "
        f"{_format_time(since)}; {pluralize(waiting, 'operation waits', 'operations wait')}{planned}. Nothing is held "
        "and nothing is lost: `askel status` shows the backlog and how much of Klaviyo's limits is used."
    )


def waiting_over_notice(workflow: str, now: int) -> str:
    """Writes the notice that no record of a workflow waits long any more."""
    return f"Workflow {workflow}: no record waits that long any more since {_format_time(now)}."


def retirement_notice(connection: str, subject: str, day: str, left: int, accepted: bool) -> str:
    """Writes the notice that the revision of a connection, or the one that serves it, retires soon."""
    then = (
        "From then on another revision's rules serve it, which nobody has tried with your workflows."
        if accepted
        else "From then on Klaviyo refuses it, and what the connection sends is held."
    )
    return (
        f"Connection {connection}: {subject} retires on {day}, in {pluralize(left, 'day')}. {then} `askel revision "
        f"rehearse {connection}` shows what a move changes, `askel revision move {connection}` makes it."
    )


def served_anew_notice(connection: str, revision: str, serving: str) -> str:
    """Writes the notice that a retired revision is served by another one than before."""
    return (
        f"Connection {connection}: the revision that served {revision} has retired; it is served as {serving} now, by "
        f"rules that nobody has tried with your workflows. `askel revision rehearse {connection}` shows what a move "
        f"changes, `askel revision move {connection}` makes it."
    )


def shared_identifier_notice(connection: str, kind: str, record: str, others: int) -> str:
    """Writes the notice that identifiers stand beside so many others that they link nobody any more."""
    names = {"email": "e-mail", "phone_number": "phone number", "external_id": "external id"}
    more = f", and {pluralize(others, 'more identifier')} in other records" if others else ""
    return (
        f"Connection {connection}: the {names[kind]} of record {record}{more} stands beside more than five e-mails or "
        "external ids. From now on it joins no people's records into one order: look whether it is a placeholder."
    )


def _format_time(ms: int) -> str:
    return format_timestamp(ms, zone=" UTC")
