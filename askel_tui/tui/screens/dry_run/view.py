"""What a dry run looks like: rows, details, totals, and its exports. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from askel_tui.services.json_documents import to_json
from askel_tui.text.cells import truncate
from askel_tui.text.json_text import encode_json, format_value
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.text.curl import curl_command
from askel_tui.tui.text.exports import to_csv
from askel_tui.tui.widgets.table import Cell, Column, Row

if TYPE_CHECKING:
    from askel_tui.core.planning.diff import Change
    from askel_tui.services.dry_run_result import DryRun, DryRunTotals, OperationPreview, RecordPreview

StyledText = tuple[str, str]
"""Inert text and its style."""

COLUMNS = (
    Column("would be", 9),
    Column("who", 18, 4),
    Column("lists", 12, 2),
    Column("fields", 6, align_right=True),
    Column("events", 6, align_right=True),
    Column("skip", 4, align_right=True),
)

STATE_CELLS: Mapping[str, Cell] = {
    "failed": ("✗ failed", "$error"),
    "new": ("+ new", "$success"),
    "changed": ("~ changed", "$warning"),
    "unchanged": ("= same", "$foreground-muted"),
    "nothing": ("○ nothing", "$foreground-muted"),
}

EXPORT_COLUMNS = ("record", "profile", "state", "step", "kind", "target", "field", "before", "after", "note")

_MARKDOWN_SPECIALS = re.compile(r"([\\`*_{}\[\]()<>#+!|~-])")


def record_state(record: RecordPreview) -> str:
    """What a record would come to, as a key of `STATES`."""
    if record.problems:
        return "failed"
    if record.new:
        return "new"
    if not record.operations:
        return "nothing"
    return "changed" if any(each.changes for each in record.operations) else "unchanged"


def profile_identifiers(record: RecordPreview) -> str:
    """The identifiers of a record's profile."""
    return ", ".join(str(each) for each in record.profile.values()) or "nobody"


def list_changes(record: RecordPreview) -> str:
    """Lists that are joined (+) and left (-)."""
    found = [
        f"{'+' if change['after'] else '-'}{field.removeprefix('list ')}"
        for operation in record.operations
        for field, change in operation.changes.items()
        if field.startswith("list ") and operation.kind != "upsert_profile"
    ]
    return ", ".join(found)


def table_row(number: int, record: RecordPreview) -> Row:
    """The row of the record at a place; the place is its key."""
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
    """The text that the filter looks at."""
    notes = " ".join(each.message for each in record.problems)
    skipped = " ".join(f"skipped {each.step}" for each in record.skipped)
    who = f"{record.record} {profile_identifiers(record)}"
    return f"{who} {record_state(record)} {list_changes(record)} {notes} {skipped}"


def totals_text(run: DryRun) -> list[StyledText]:
    """What the run comes to, over all of its records."""
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
        parts.append((f" · {found.skipped:,} stopped by a gate", "$warning"))
    for label, told in effects(found):
        parts += [(f"\n{label:<8}", "$foreground-muted"), (told, "")]
    return parts


def effects(found: DryRunTotals) -> list[tuple[str, str]]:
    """What changes beside profiles: lists, events, flows, consent; inert."""
    lines = []
    moved = [f"{count:,} added to {sanitize(name)}" for name, count in found.added.items()]
    moved += [f"{count:,} removed from {sanitize(name)}" for name, count in found.removed.items()]
    if moved:
        lines.append(("lists", ", ".join(moved)))
    if found.events:
        lines.append(
            ("events", ", ".join(f"{count:,} × {sanitize(name)}" for name, count in found.events.items()))
        )
    if found.flows:
        told = [f"{sanitize(name)} for {pluralize(count, 'profile')}" for name, count in found.flows.items()]
        lines.append(("flows", ", ".join(told) + " would fire"))
    consent = [
        f"{count:,} {word}" for word in ("subscribed", "unsubscribed") if (count := getattr(found, word))
    ]
    if consent:
        lines.append(("consent", ", ".join(consent)))
    return lines


def record_details(record: RecordPreview, width: int) -> list[StyledText]:
    """Everything that a record would do, step by step, for a pane of that many cells."""
    parts: list[StyledText] = [(f"{sanitize(record.record)}\n", "bold $accent")]
    parts.append(
        (" · ".join(sanitize(str(each)) for each in record.profile.values()) + "\n", "$foreground-muted")
    )
    for problem in record.problems:
        place = " › ".join(filter(None, (problem.step, problem.field)))
        parts.append((f"✗ {sanitize(place)}{': ' if place else ''}{sanitize(problem.message)}\n", "$error"))
    for operation in record.operations:
        target = operation.target
        named = f" {sanitize(target.type)} {truncate(target.name, 60)}" if target else ""
        gate = operation.request is None
        parts.append((f"\n{sanitize(operation.step)} ", "bold"))
        parts.append((f"{operation.kind}{named}\n", "$primary"))
        if gate:
            parts.append(_gate_result(operation, record))
        elif not operation.changes:
            parts.append(("  = no change\n", "$foreground-muted"))
        for field, change in operation.changes.items():
            parts += _change_lines(field, change, width)
    for skip in record.skipped:
        parts += [
            (f"\n{sanitize(skip.step)} ", "bold"),
            (f"skipped: {sanitize(skip.why)}\n", "$warning"),
        ]
    return parts


def _gate_result(operation: OperationPreview, record: RecordPreview) -> StyledText:
    named = f"gate {operation.step}:"
    closed = any(skip.why.startswith(named) for skip in record.skipped)
    return ("  ✗ not let through\n", "$warning") if closed else ("  ✓ let through\n", "$success")


def _change_lines(field: str, change: Change, width: int) -> list[StyledText]:
    if field.startswith("event "):
        after = dict(change["after"])
        parts: list[StyledText] = [(f"  {sanitize(field)}\n", "")]
        rows = [*((name, value) for name, value in after.items() if name != "properties")]
        rows += list(after.get("properties", {}).items())
        for name, value in rows:
            parts += [
                (f"    {truncate(name, 24)} ", "$foreground-muted"),
                (f"{_value_text(value, width)}\n", ""),
            ]
        return parts
    label = field.removeprefix("properties.")
    sign = ("  + ", "$success") if change["before"] in (None, False) else ("  ~ ", "$warning")
    if change["after"] in (None, False):
        sign = ("  - ", "$error")
    before = _value_text(change["before"], width // 2)
    return [
        sign,
        (f"{truncate(label, 28)}  ", "$foreground-muted"),
        (f"{before} → ", "$foreground-muted"),
        (f"{_value_text(change['after'], width)}\n", "bold"),
    ]


def _value_text(value: object, cells: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return truncate(format_value(value), max(12, cells))


# Requests.


def requests(record: RecordPreview) -> list[dict[str, Any]]:
    """The exact requests of a record, each with its step."""
    return [
        {"step": each.step, **to_json(each.request)} for each in record.operations if each.request is not None
    ]


def requests_json(record: RecordPreview) -> str:
    """A record's requests as one JSON document."""
    return encode_json(requests(record), indent=2)


def requests_curl(record: RecordPreview, revision: str, address: str) -> str:
    """A record's requests as commands, the key a variable."""
    commands = [
        f"# {sanitize(each['step'])}\n"
        + curl_command(each["method"], each["path"], each["body"], revision, address)
        for each in requests(record)
    ]
    return "\n\n".join(commands)


# Exports.

EXPORT_SUFFIXES = (".csv", ".json", ".md")


def export_text(run: DryRun, kind: str) -> str:
    """The run as `.csv`, `.json` or `.md`."""
    match kind:
        case ".csv":
            return to_csv(EXPORT_COLUMNS, list(_export_rows(run)))
        case ".json":
            return encode_json(to_json(run), indent=2) + "\n"
    return _markdown_report(run)


def _export_rows(run: DryRun) -> Iterator[Sequence[object]]:
    for record in run.records:
        first = (record.record, profile_identifiers(record), record_state(record))
        for operation in record.operations:
            target = operation.target.name if operation.target else ""
            step = (operation.step, operation.kind, target)
            if not operation.changes:
                yield (*first, *step, "", "", "", "gate" if operation.request is None else "no change")
            for field, change in operation.changes.items():
                yield (*first, *step, field, change["before"], change["after"], "")
        for skip in record.skipped:
            yield (*first, skip.step, "", "", "", "", "", f"skipped: {skip.why}")
        for problem in record.problems:
            yield (
                *first,
                problem.step or "",
                "",
                "",
                problem.field or "",
                "",
                "",
                problem.message,
            )


def _markdown_report(run: DryRun) -> str:
    workflow, connection = _escape_markdown(run.workflow), _escape_markdown(run.connection)
    title = f"# Dry run of {workflow}, version {run.version}, on {connection}"
    found = run.totals
    words = [
        f"{getattr(found, word):,} {word}"
        for word in ("records", "new", "changed", "unchanged", "skipped", "problems")
    ]
    lines = [title, "", ", ".join(words) + ".", ""]
    lines += [f"- {label}: {_escape_markdown(told)}" for label, told in effects(found)]
    lines += ["", "| " + " | ".join(EXPORT_COLUMNS) + " |", "|" + " --- |" * len(EXPORT_COLUMNS)]
    lines += [
        "| " + " | ".join(_escape_markdown(format_value(each)) for each in cells) + " |"
        for cells in _export_rows(run)
    ]
    return "\n".join(lines) + "\n"


def _escape_markdown(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return _MARKDOWN_SPECIALS.sub(r"\\\1", sanitize(text))
