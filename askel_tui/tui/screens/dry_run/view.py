"""Rows and totals of a dry run. Pure; everything is sanitized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from askel_tui.core.problems import WARNING_TEXTS
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.text.changes import StyledText
from askel_tui.tui.widgets.rows import Cell, Row
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from askel_tui.core.planning.diff import Change
    from askel_tui.services.dry_run_result import DryRun, DryRunTotals, RecordPreview
    from askel_tui.store.journal.rows import WorkflowState

MAX_SHOWN_WARNINGS = 3
"""The number of warnings about the version that are shown under the totals."""

NO_WORKFLOW = (
    "This connection has no workflow yet.\n\n"
    "Mapping (4) makes one from the records that came in; `askel workflow apply FILE` takes a file."
)

COLUMNS = (
    Column("would be", 9),
    Column("who", 18, 4),
    Column("lists", 12, 2),
    Column("fields", 6, align_right=True),
    Column("events", 6, align_right=True),
    Column("skip", 4, align_right=True),
)

STATE_CELLS: Mapping[str, Cell] = {
    "sent": ("✓ sent", "$foreground-muted"),
    "failed": ("✗ failed", "$error"),
    "new": ("+ new", "$success"),
    "changed": ("~ changed", "$warning"),
    "unchanged": ("= same", "$foreground-muted"),
    "depends": ("? depends", "$warning"),
    "unknown": ("○ unknown", "$foreground-muted"),
    "nothing": ("○ nothing", "$foreground-muted"),
}


def failed_text(workflow: str, error: str) -> str:
    """Makes the text that is shown where a run failed."""
    return f"{workflow} could not be tried.\n\n{error}\n\nr tries again, w takes another workflow."


def loading_text(workflow: str) -> str:
    """Makes the text that is shown until the run is there."""
    return f"Reading what the account holds for the records of {workflow}…"


def no_record_text(workflow: str) -> str:
    """Makes the text that is shown where a run has no record."""
    return (
        f"No record matches {workflow}.\n\n"
        "f tries the records of a file without keeping them; i takes a file of them in. L goes live anyway."
    )


def record_state(record: RecordPreview) -> str:
    """Returns the outcome for a record, as a key of `STATE_CELLS`."""
    if record.sent:
        return "sent"
    if record.problems:
        return "failed"
    if record.new:
        return "new"
    if record.unknown:
        return "unknown"
    if not record.operations:
        return "nothing"
    if record.has_changes:
        return "changed"
    return "depends" if record.depends else "unchanged"


def profile_identifiers(record: RecordPreview) -> str:
    """Returns the identifiers of a record's profile."""
    return ", ".join(str(each) for each in record.profile.values()) or "nobody"


def list_changes(record: RecordPreview) -> str:
    """Lists the lists that the profile joins (+) and leaves (-)."""
    found = [
        f"{'+' if change['after'] else '-'}{field.removeprefix('list ')}"
        for operation in record.operations
        for field, change in operation.changes.items()
        if field.startswith("list ") and operation.kind != "upsert_profile"
    ]
    return ", ".join(found)


def table_row(number: int, record: RecordPreview) -> Row:
    """Makes the row of a record; its number in the run is the key."""
    upserts = [each for each in record.operations if each.kind == "upsert_profile"]
    fields = sum(len(each.changes) for each in upserts)
    events = sum(field.startswith("event ") for field, _ in _changes_beyond_profile(record))
    skipped = len(record.skipped)
    cells: tuple[Cell, ...] = (
        STATE_CELLS[record_state(record)],
        next(iter(record.profile.values()), "nobody"),
        list_changes(record),
        f"{fields:,}" if fields else "",
        f"{events:,}" if events else "",
        (f"{skipped:,}", "$warning") if skipped else "",
    )
    return str(number), cells


def _changes_beyond_profile(record: RecordPreview) -> Iterator[tuple[str, Change]]:
    for operation in record.operations:
        if operation.kind != "upsert_profile":
            yield from operation.changes.items()


def search_text(record: RecordPreview) -> str:
    """Returns the text of a record that the filter searches."""
    notes = " ".join(each.message for each in (*record.problems, *record.warnings))
    skipped = " ".join(f"skipped {each.step}" for each in record.skipped)
    who = f"{record.record} {profile_identifiers(record)}"
    return f"{who} {record_state(record)} {list_changes(record)} {notes} {skipped}"


def workflow_state(state: WorkflowState | None, newest: int | None) -> str:
    """Names the state of the newest version of a workflow, with a sign; `state` is the one that runs."""
    if state is None or state.status == "draft":
        return "○ draft"
    running = "● active" if state.status == "active" else "‖ paused"
    return running if newest in (None, state.version) else f"○ draft, v{state.version} is {running}"


def totals_text(run: DryRun) -> list[StyledText]:
    """Makes the totals of a run: records by outcome, then a line per kind of effect."""
    found = run.totals
    parts: list[StyledText] = [
        (f"{pluralize(found.records, 'record')}: ", "bold"),
        (f"{found.new:,} new", "$success"),
        (" · ", ""),
        (f"{found.changed:,} changed", "$warning"),
        (" · ", ""),
        (f"{found.unchanged:,} unchanged", ""),
    ]
    if found.problems:
        parts.append((f" · ✗ {found.problems:,} would fail", "bold $error"))
    if found.skipped:
        parts.append((f" · {found.skipped:,} with skipped steps", "$warning"))
    if found.depends:
        parts.append((f" · {found.depends:,} not known yet", "$warning"))
    if found.already_sent:
        parts.append((f" · {found.already_sent:,} sent already", ""))
    if found.unknown:
        parts.append((f" · {found.unknown:,} unknown", ""))
    for label, sentence in effects(found):
        parts += [(f"\n{label:<8}", "$foreground-muted"), (sentence, "")]
    parts += [(f"\n! {sanitize(str(each))}", "$warning") for each in run.warnings[:MAX_SHOWN_WARNINGS]]
    return parts


def effects(found: DryRunTotals) -> list[tuple[str, str]]:
    """Lists the effects beyond profiles (lists, events, flows, consent) and warnings, as label and sentence."""
    lines = []
    if found.warnings:
        warned = [f"{count:,} with {WARNING_TEXTS.get(kind, kind)}" for kind, count in found.warnings.items()]
        lines.append(("! note", ", ".join(warned)))
    moved = [f"{count:,} added to {sanitize(name)}" for name, count in found.added.items()]
    moved += [f"{count:,} removed from {sanitize(name)}" for name, count in found.removed.items()]
    if moved:
        lines.append(("lists", ", ".join(moved)))
    if found.events:
        lines.append(
            ("events", ", ".join(f"{count:,} × {sanitize(name)}" for name, count in found.events.items()))
        )
    if found.flows:
        fired = [f"{sanitize(name)} for {pluralize(count, 'profile')}" for name, count in found.flows.items()]
        lines.append(("flows", ", ".join(fired) + " would fire"))
    consent = [
        f"{count:,} {word}" for word in ("subscribed", "unsubscribed") if (count := getattr(found, word))
    ]
    if found.confirmations:
        consent.append(f"{pluralize(found.confirmations, 'confirmation')} sent, to be clicked first")
    if found.lifted:
        consent.append(f"{pluralize(found.lifted, 'person', 'people')} subscribed again after opting out")
    if found.refused:
        consent.append(f"{found.refused:,} refused for an opt-out")
    if consent:
        lines.append(("consent", ", ".join(consent)))
    if found.merges:
        lines.append(("merges", f"{pluralize(found.merges, 'profile')} merged into others, for good"))
    return lines
