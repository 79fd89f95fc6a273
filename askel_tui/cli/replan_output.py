"""The preview of re-planning on the command line, and the options of the commands that plan anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from askel_tui.cli.output import bold, format_cell, put, put_message, put_table
from askel_tui.cli.questions import choose
from askel_tui.text.cells import truncate
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.replanning import OperationReplan, ReplannedRecord, ReplanPreview

F = TypeVar("F", bound=Callable[..., Any])

Unsent = Literal["replan", "keep"]
"""What becomes of what is unsent under older versions: planned anew, or sent as it was planned."""

MAX_VALUE_CELLS = 60

REPLAN_DOES = "plans it anew under the newest version"
KEEP_DOES = "sends it as it was planned"


def unsent_options(command: F) -> F:
    """Adds the options that say what becomes of what is unsent under older versions."""
    for flag, unsent, does in (("--keep-plans", "keep", KEEP_DOES), ("--replan", "replan", REPLAN_DOES)):
        text = f"What is unsent under older versions: {does}."
        command = click.option(flag, "unsent", flag_value=unsent, help=text)(command)
    return command


def replan_options(command: F) -> F:
    """Adds the options of what re-planning may do beyond planning anew."""
    for option in (
        click.option(
            "--all", "all_file", type=click.Path(dir_okay=False), metavar="FILE",
            help="Write what becomes of every record to FILE, one JSON object a line.",
        ),
        click.option("--accept-identity", is_flag=True, help="Also records that get another profile."),
        click.option("--close-unmatched", is_flag=True, help="Close what the new version refuses."),
        click.option(
            "--with-consent", "new_consent_steps", is_flag=True,
            help="Also consent steps that are new in the version.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def choose_unsent(preview: ReplanPreview) -> Unsent:
    """Asks what becomes of what is unsent. Raises `CommandError` as `choose` does."""
    records = pluralize(preview.totals.records, "record")
    question = f"{preview.workflow}: what becomes of {records} with something unsent under older versions?"
    flag = choose(question, {"--replan": REPLAN_DOES, "--keep-plans": KEEP_DOES})
    return "replan" if flag == "--replan" else "keep"


@contextmanager
def record_writer(file: str | None) -> Iterator[Callable[[ReplannedRecord], None] | None]:
    """Gives a function that writes previewed records to a file as JSON lines; None without a file."""
    if file is None:
        yield None
        return
    from askel_tui.services.json_documents import to_json
    from askel_tui.text.json_text import encode_json

    with click.open_file(file, "w", encoding="utf-8", atomic=True) as lines:
        yield lambda record: print(encode_json(to_json(record)), file=lines)


def put_preview(preview: ReplanPreview) -> None:
    """Writes what becomes of the unsent operations: records in full, then totals by step."""
    for record in preview.records:
        _put_record(record)
    totals = preview.totals
    outcomes = ("replanned", "added", "kept", "closed", "held", "consent_left_out")
    counts: Mapping[str, Mapping[str, int]] = {name: getattr(totals, name) for name in outcomes}
    steps = list(dict.fromkeys(step for of_outcome in counts.values() for step in of_outcome))
    shown = [name for name in outcomes if counts[name]]
    put_table(
        ("step", *(name.replace("_", " ") for name in shown)),
        [(step, *(counts[name].get(step) for name in shown)) for step in steps],
    )
    put_message(
        f"{pluralize(totals.records, 'record')} of {preview.workflow} with something unsent under older versions; "
        f"{len(preview.records)} shown"
    )
    for each in preview.open_consents():
        put_message(f"{each.what}: {each.flag} {each.does}")


def _put_record(record: ReplannedRecord) -> None:
    put(bold(f"{format_cell(record.record)}  planned under version {record.version}"))
    if record.reason:
        put(f"  {format_cell(record.reason)}")
    width = max((len(each.step) for each in record.operations), default=0)
    for each in record.operations:
        kind = (each.after or each.before).kind  # type: ignore[union-attr]
        put(f"  {each.step:<{width}}  {each.outcome}: {kind}")
        for line in _changes(each):
            put(f"  {'':<{width}}    {line}")
    put()


def _changes(operation: OperationReplan) -> Iterator[str]:
    for name, change in operation.changes().items():
        before, after = _format(change["before"]), _format(change["after"])
        yield (
            f"{format_cell(name)}: {after}" if before == after else f"{format_cell(name)}: {before} → {after}"
        )


def _format(value: object) -> str:
    if value is None:
        return "–"
    return truncate(format_cell(json.dumps(value, ensure_ascii=False)), MAX_VALUE_CELLS)


def put_result(totals: Mapping[str, int]) -> None:
    """Writes what re-planning did."""
    words = {
        "replanned": "planned anew",
        "added": "added for new steps",
        "kept": "left as planned",
        "closed": "closed",
        "held": "held for a decision",
    }
    done = [f"{totals[name]:,} {words[name]}" for name in words if totals.get(name)]
    if done:
        put_message(f"operations: {', '.join(done)}")
