"""Going live from a dry run: a choice of records, a question with the numbers, and a word to type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.dry_run import view
from askel_tui.tui.screens.dry_run.past_question import PastQuestion
from askel_tui.tui.screens.unsent_question import ask_about_unsent
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.picker import Picker

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import DryRun
    from askel_tui.store.journal.rows import WorkflowState
    from askel_tui.tui.screens.base_screen import AskelScreen

FIRST_RECORD_COUNT = 20
"""The number of records after which a workflow that goes live by steps pauses."""

STEPS_PREFIX = "steps:"

CONFIRMATION_WORD = "live"
"""The word to type."""


async def go_live(screen: AskelScreen, run: DryRun, *, from_file: bool) -> bool:
    """Activates the version of a run, if that is confirmed. Only inside `start_work`. Raises what `activate` raises."""
    backend, toasts = screen.backend, screen.toasts
    name, version = run.workflow, run.version
    newest = await backend.call(queries.workflow, name)
    if newest.version != version:
        toasts.show(
            f"{name} has a version {newest.version} by now, and this was version {version}: r tries the new one.",
            title="Not live",
            severity="warning",
        )
        return False
    first: str | None = None
    if run.records and not from_file:
        first = await screen.ask(
            Picker(f"Go live with {sanitize(name)}: for which records?", record_choices(run))
        )
        if first is None:
            return False
    kept, limit = bool(first), None
    if first and first.startswith(STEPS_PREFIX):
        first, limit = first.removeprefix(STEPS_PREFIX), FIRST_RECORD_COUNT
    current = next(
        (each for each in await backend.call(queries.workflow_states) if each.workflow == name), None
    )
    question, detail = confirmation_text(run, current, kept=kept, real=backend.environment == "klaviyo")
    if not await screen.confirm(question, detail, typed=CONFIRMATION_WORD):
        return False
    answer = await ask_about_unsent(screen, name, version)
    if answer is None:
        return False
    given = {"unsent": answer.unsent, "consents": answer.consents}
    if not await _activate(screen, name, from_record=first or None, first=limit, **given):
        return False
    sent = (
        "the daemon sends what matches"
        if screen.askel.head.daemon_running
        else "d on Overview (1) starts the daemon that sends"
    )
    then = (
        ""
        if limit is None
        else f" It pauses by itself after {limit:,} records; p on Overview (1) resumes it."
    )
    toasts.show(f"{name} version {version} is live: {sent}.{then}", title="Live")
    return True


async def _activate(screen: AskelScreen, name: str, **given: Any) -> bool:
    """Activates; asks where records of the past would start flows, or people who have opted out be subscribed again.

    Returns False where nothing was answered.
    """
    from askel_tui.services.history.opted_out import PeopleLifted
    from askel_tui.services.history.past_records import PastRecords

    backend = screen.backend
    while True:
        try:
            await screen.with_progress(
                f"Activating {name}", backend.call(services.activate, name, backend.actor, **given)
            )
        except PastRecords as question:
            given["flows"] = await screen.ask(PastQuestion(question.preview))
            if given["flows"] is None:
                return False
        except PeopleLifted as question:
            preview = question.preview
            detail = "Their number is the word to type."
            if not await screen.confirm(
                f"{preview.describe()}. Let them?", detail, typed=str(preview.people)
            ):
                return False
            given["resubscribe"] = preview.people
        else:
            return True


def record_choices(run: DryRun) -> list[Choice]:
    """Lists the choices of the first record: `""` is from now on, else the id of the record, after `STEPS_PREFIX` where
    the workflow goes live by steps."""
    records = run.records
    return [
        Choice("", "Only records that come in from now on", "what is shown stays unsent"),
        Choice(
            records[0].record,
            f"Also the {pluralize(len(records), 'record')} shown here, and all after the oldest of them",
            f"from {sanitize(records[0].record, 40)} on",
        ),
        Choice(
            f"{STEPS_PREFIX}{records[0].record}",
            f"Only the first {FIRST_RECORD_COUNT:,} of these for now, then it pauses by itself",
            "and the others when it is resumed",
        ),
    ]


def confirmation_text(
    run: DryRun, current: WorkflowState | None, *, kept: bool, real: bool
) -> tuple[str, str]:
    """Makes the question and its consequences in numbers; `current` is the state in which the workflow runs now."""
    found = run.totals
    where = "the real Klaviyo account" if real else "the sandbox"
    version = f"{sanitize(run.workflow)} version {run.version}"
    question = f"Go live with {version} on {sanitize(run.connection)}, {where}?"
    count = pluralize(found.records, "record")
    lead = (
        f"At once, for the {count} shown and all that came in after the oldest:"
        if kept
        else f"For every record from now on. The {count} of the dry run would have come to:"
    )
    profiles = f"profiles  {found.new:,} new, {found.changed:,} changed, {found.unchanged:,} unchanged"
    lines = [lead, profiles, *(f"{label:<9} {sentence}" for label, sentence in view.effects(found))]
    if found.problems:
        lines.append(
            f"failing   {pluralize(found.problems, 'record')} would fail and be kept under Failed (7)"
        )
    if current is not None and current.status != "draft" and current.version != run.version:
        lines.append(f"version   {run.version} takes the place of {current.version}")
    if current is not None and current.status == "paused":
        lines.append("paused    it is paused now: the records that wait are sent too")
    return question, "\n".join(lines)
