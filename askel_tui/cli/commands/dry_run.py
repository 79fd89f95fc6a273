"""`askel dry-run`: shows what records would write, beside what the account holds now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import (
    EXISTING_FILE,
    asynchronous,
    exit_with,
    json_option,
    open_instance,
)
from askel_tui.cli.output import bold, format_cell, put, put_json, put_message, put_table
from askel_tui.cli.record_options import (
    confirm_guesses,
    file_options,
    open_file,
    put_refusals,
    read_options,
)
from askel_tui.cli.times import rfc3339
from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.problems import WARNING_TEXTS
from askel_tui.text.cells import truncate
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.core.records.record import Record, RefusedLine
    from askel_tui.services.dry_run_result import DryRun, RecordPreview
    from askel_tui.services.record_files import FileOptions

DEFAULT_RECORDS = 30
MAX_VALUE_CELLS = 60

TOTAL_LABELS = {
    "added": "list adds",
    "removed": "list removals",
    "flows": "flows fired",
    "depends": "not known yet",
    "already_sent": "already sent",
    "dropped": "not kept",
    "lifted": "opt-outs ended",
    "refused": "opt-outs kept",
}
"""Labels of the totals whose names do not explain themselves."""


@click.command("dry-run")
@click.argument("workflow")
@click.argument("file", type=EXISTING_FILE, required=False, metavar="[FILE|-]")
@click.option(
    "--last",
    type=click.IntRange(1),
    help=f"How many of the newest records that match.  [default: {DEFAULT_RECORDS}]",
)
@click.option("--unsent", is_flag=True, help="Only records that the workflow has not sent.")
@file_options
@json_option
@asynchronous
async def dry_run(
    workflow: str, file: str | None, last: int | None, unsent: bool, as_json: bool, **given: Any
) -> None:
    """Show what WORKFLOW's newest version would write; writes nothing.

    Takes the newest records that came in and match, or the records of FILE. Each change is shown beside what the
    account holds now. A record that the workflow has sent is shown too, and says so: nothing would be sent.

    \b
    Examples:
      askel dry-run first-points-welcome --last 30
      askel dry-run first-points-welcome tomorrow.jsonl --json
    """
    from askel_tui.services.json_documents import to_json

    records, refused = _records(file, read_options(given)) if file is not None else (None, [])
    found = await _dry_run(workflow, last, records, unsent=unsent)
    if as_json:
        put_json(to_json(found))
    else:
        show_run(found)
    if refused:
        put_refusals(refused, len(refused))
        exit_with(ExitCode.REFUSED)


async def _dry_run(workflow: str, last: int | None, records: list[Record] | None, *, unsent: bool) -> DryRun:
    from askel_tui.services.dry_run import dry_run as preview

    async with open_instance() as instance:
        return await preview(instance, workflow, last=last, records=records, unsent=unsent)


def _records(file: str, options: FileOptions) -> tuple[list[Record], list[RefusedLine]]:
    from askel_tui.core.records.record import RefusedLine
    from askel_tui.services.record_files import open_record_file

    with open_file(file) as stream, open_record_file(stream, file, options) as opened:
        found = confirm_guesses(opened, opened.read(rfc3339(datetime.now(UTC))))
        read = [each for _, each in found]
    refused = [each for each in read if isinstance(each, RefusedLine)]
    return [each for each in read if not isinstance(each, RefusedLine)], refused


def show_run(run: DryRun) -> None:
    """Prints a dry run: its records in full, and its totals."""
    from askel_tui.services.json_documents import to_json

    for record in run.records:
        _show_record(record)
    if not run.records:
        put_message(f"no record matches {run.workflow} version {run.version}")
        return
    put(bold(f"{run.workflow} version {run.version} on {run.connection}"))
    for word, value in to_json(run.totals).items():
        if isinstance(value, Mapping):
            for name, count in value.items():
                named = WARNING_TEXTS.get(name, name) if word == "warnings" else format_cell(name)
                put(f"  {TOTAL_LABELS.get(word, word):<13}{count:>6,}  {named}")
        elif value:
            put(f"  {TOTAL_LABELS.get(word, word):<13}{value:>6,}")
    for warning in run.warnings:
        put(f"  warning: {format_cell(str(warning))}")
    put_message(f"{pluralize(len(run.records), 'record')}; nothing was written")


def _show_record(record: RecordPreview) -> None:
    from askel_tui.services.dry_run_result import remarks

    profile = ", ".join(format_cell(value) for value in record.profile.values()) or "nobody"
    put(bold(f"{format_cell(record.record)}  {profile}  {_state(record)}"))
    if record.sent:
        put(f"  {record.sent.describe(f'{datetime.now(UTC):%Y-%m-%d}')}")
    steps = [each.step for each in record.operations] + [each.step for each in record.skipped]
    width = max(map(len, steps), default=0)
    for operation in record.operations:
        target = operation.target
        names = f"  {target.type} {format_cell(target.name)}" if target else ""
        said = remarks(operation)
        nothing = "" if operation.changes or said else "  (no change)"
        put(f"  {operation.step:<{width}}  {operation.kind}{names}{nothing}")
        for remark in said:
            put(f"  {'':<{width}}    {format_cell(remark)}")
        for field, change in operation.changes.items():
            for line in _change_lines(field, change):
                put(f"  {'':<{width}}    {line}")
    for skipped in record.skipped:
        put(f"  {skipped.step:<{width}}  skipped: {format_cell(skipped.why)}")
    for label, problems in (("problem", record.problems), ("warning", record.warnings)):
        for problem in problems:
            location = ", ".join(filter(None, (problem.step, problem.field)))
            put(f"  {label}: {format_cell(location)}{': ' if location else ''}{format_cell(problem.message)}")
    put()


def _state(record: RecordPreview) -> str:
    if record.sent:
        return "sent"
    if record.problems:
        return "failed"
    return "new" if record.new else "unknown" if record.unknown else "known"


def _change_lines(field: str, change: Mapping[str, Any]) -> Iterator[str]:
    """Formats a change as lines: a field before and after, or an event with its attributes and properties."""
    after = change["after"]
    if not field.startswith("event ") or not isinstance(after, Mapping):
        yield f"{format_cell(field)}: {format_json(change['before'])} → {format_json(after)}"
        return
    attributes = {name: value for name, value in after.items() if name != "properties" and value is not None}
    shown = ", ".join(f"{format_cell(name)} {_format_plain(value)}" for name, value in attributes.items())
    yield f"{format_cell(field)}: {shown}"
    for name, value in (after.get("properties") or {}).items():
        yield f"  {format_cell(name)}: {format_json(value)}"


def _format_plain(value: object) -> str:
    return format_cell(value) if isinstance(value, str) else format_json(value)


def format_json(value: object) -> str:
    """Formats a value of a field as short JSON."""
    if value is None:
        return "–"
    return truncate(format_cell(json.dumps(value, ensure_ascii=False)), MAX_VALUE_CELLS)


@click.command()
@click.argument("workflow")
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="How many of the newest records that were sent.",
)
@json_option
@asynchronous
async def reconcile(workflow: str, sample: int, as_json: bool) -> None:
    """Compare what WORKFLOW has written, as the audit has it, with what Klaviyo holds now; writes nothing.

    Reads profiles, lists, consent and events of the newest records. What others changed since, and what can't be
    checked, is counted apart; it exits 3 where a value is another one and nobody is known to have changed it, or where
    an event does not show.

    \b
    Example:
      askel reconcile first-points-welcome --sample 200
    """
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.reconciling.reconcile import reconcile as compare

    async with open_instance() as instance:
        found = await compare(instance, workflow, sample)
    if as_json:
        put_json(to_json(found))
    else:
        put_table(
            ("record", "profile", "field", "sent", "now", ""),
            [
                (
                    row.record,
                    next(iter(row.profile.values()), ""),
                    row.field,
                    format_json(row.sent),
                    format_json(row.now),
                    row.outcome.replace("_", " "),
                )
                for row in found.rows
            ],
        )
        put(
            f"{pluralize(found.records, 'record')}, {pluralize(found.profiles, 'profile')}: "
            f"{found.same:,} of {pluralize(found.fields, 'field')} as sent, "
            f"{found.changed_since:,} changed by others since, {found.rewritten:,} written again by later records, "
            f"{found.different:,} different, {found.missing:,} of profiles that are gone"
        )
        if found.events:
            put(
                f"{found.events_found:,} of {pluralize(found.events, 'event')} found, "
                f"{found.events_missing:,} missing"
            )
        for why, number in found.events_unchecked.items():
            put(f"{pluralize(number, 'event')} not checked: {format_cell(why)}")
    if found.different or found.missing or found.events_missing:
        exit_with(ExitCode.REFUSED)
