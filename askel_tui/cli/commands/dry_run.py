"""`askel dry-run`: what records would do, beside what the account holds now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import Code, client_of, end, existing_file, home, json_option, run
from askel_tui.cli.output import bold, fit, plural, put, put_json, shown, tell
from askel_tui.cli.record_options import format_option, kind_of, opened_file, tell_refused
from askel_tui.cli.times import rfc3339

if TYPE_CHECKING:
    from askel_tui.core.records.record import Record, Refused

LAST = 30
LONGEST_VALUE = 60

TOTALS = {"added": "list adds", "removed": "list removals", "flows": "flows fired"}
"""Words for totals that their names alone don't explain."""


@click.command("dry-run")
@click.argument("workflow")
@click.argument("file", type=existing_file(), required=False, metavar="[FILE|-]")
@click.option(
    "--last", type=click.IntRange(1), help=f"How many of the newest records that match.  [default: {LAST}]"
)
@format_option
@json_option
def dry_run(workflow: str, file: str | None, last: int | None, kind: str | None, as_json: bool) -> None:
    """Show what WORKFLOW's newest version would write; writes nothing.

    Takes the newest records that came in and match, or the records of FILE. Each change is shown beside what the
    account holds now.

    \b
    Examples:
      askel dry-run first-points-welcome --last 30
      askel dry-run first-points-welcome tomorrow.jsonl --json
    """
    document, refused = run(_dry_run(workflow, file, last, kind))
    if as_json:
        put_json(document)
    else:
        _show(document)
    if refused:
        tell_refused(refused, len(refused))
        end(Code.REFUSED)


async def _dry_run(
    workflow: str, file: str | None, last: int | None, kind: str | None
) -> tuple[dict[str, Any], list[Refused]]:
    from askel_tui.services.dry_run import dry_run as dry

    async with home() as instance:
        await client_of(instance, instance.document(workflow).connection)
        if file is None:
            return await dry(instance, workflow, last=last), []
        records, refused = _records(file, kind)
        return await dry(instance, workflow, last=last, records=records), refused


def _records(file: str, kind: str | None) -> tuple[list[Record], list[Refused]]:
    from askel_tui.core.records.files import file_lines, read_csv, read_jsonl
    from askel_tui.core.records.record import Refused

    read = read_csv if kind_of(file, kind) == "csv" else read_jsonl
    records: list[Record] = []
    refused: list[Refused] = []
    with opened_file(file) as stream:
        for _, found in read(file_lines(stream), now=rfc3339(datetime.now(UTC))):
            if isinstance(found, Refused):
                refused.append(found)
            else:
                records.append(found)
    return records, refused


def _show(document: Mapping[str, Any]) -> None:
    for record in document["records"]:
        _show_record(record)
    totals = dict(document["totals"])
    if not document["records"]:
        tell(f"no record matches {document['workflow']} version {document['version']}")
        return
    put(bold(f"{document['workflow']} version {document['version']} on {document['connection']}"))
    for word, value in totals.items():
        if isinstance(value, Mapping):
            for name, count in value.items():
                put(f"  {TOTALS.get(word, word):<13}{count:>6,}  {shown(name)}")
        elif value:
            put(f"  {word:<13}{value:>6,}")
    tell(f"{plural(len(document['records']), 'record')}; nothing was written")


def _show_record(record: Mapping[str, Any]) -> None:
    who = ", ".join(shown(value) for value in record["profile"].values()) or "nobody"
    state = "failed" if record["problems"] else "new" if record["new"] else "known"
    put(bold(f"{shown(record['record'])}  {who}  {state}"))
    width = max((len(each["step"]) for each in (*record["operations"], *record["skipped"])), default=0)
    for operation in record["operations"]:
        target = operation["target"]
        names = f"  {target['type']} {shown(target['name'])}" if target else ""
        nothing = "" if operation["changes"] else "  (no change)"
        put(f"  {operation['step']:<{width}}  {operation['kind']}{names}{nothing}")
        for field, change in operation["changes"].items():
            for line in _change(field, change):
                put(f"  {'':<{width}}    {line}")
    for skipped in record["skipped"]:
        put(f"  {skipped['step']:<{width}}  skipped: {shown(skipped['why'])}")
    for problem in record["problems"]:
        place = ", ".join(problem[name] for name in ("step", "field") if problem.get(name))
        put(f"  problem: {shown(place)}{': ' if place else ''}{shown(problem['message'])}")
    put()


def _change(field: str, change: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a change: a field before and after, an event with what it holds."""
    after = change["after"]
    if not field.startswith("event ") or not isinstance(after, Mapping):
        yield f"{shown(field)}: {_value(change['before'])} → {_value(after)}"
        return
    told = {name: value for name, value in after.items() if name != "properties" and value is not None}
    yield f"{shown(field)}: {', '.join(f'{shown(name)} {_plain(value)}' for name, value in told.items())}"
    for name, value in (after.get("properties") or {}).items():
        yield f"  {shown(name)}: {_value(value)}"


def _plain(value: object) -> str:
    return shown(value) if isinstance(value, str) else _value(value)


def _value(value: object) -> str:
    if value is None:
        return "–"
    return fit(shown(json.dumps(value, ensure_ascii=False)), LONGEST_VALUE)
