"""Options and messages for files of records, for `ingest` and `dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from askel_tui.cli.common import CommandError
from askel_tui.cli.output import format_cell, put, put_message
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.core.records.files import NumberedRecord
    from askel_tui.core.records.record import Record, RefusedLine
    from askel_tui.core.records.shape import Encoding
    from askel_tui.services.record_files import FileOptions, RecordFile

F = TypeVar("F", bound=Callable[..., Any])

MAX_SHOWN_REFUSALS = 20
"""The number of refused lines that are reported one by one."""

PLAIN_FILES = ("JSONL, a record a line", "CSV, comma between columns")
"""Files that nothing is said of, for they are as the documents describe them."""

_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


def file_options(command: F) -> F:
    """Adds the options that say what a file of records holds; all of them are recognized without."""
    for option in reversed(
        (
            click.option(
                "--format",
                "kind",
                type=click.Choice(("jsonl", "json", "csv")),
                help="What the file holds; recognized without it.",
            ),
            click.option(
                "--encoding",
                type=click.Choice(("utf-8", "utf-16", "windows-1252")),
                help="How its characters are written; recognized without it.",
            ),
            click.option(
                "--delimiter",
                metavar="CHAR",
                callback=_read_delimiter,
                help="What stands between columns: a character, or comma, semicolon, tab, bar.",
            ),
            click.option("--event", metavar="NAME", help="The event of records that name none."),
            click.option("--id", "id_column", metavar="COLUMN", help="The column that is the record's id."),
            click.option(
                "--time", "time_column", metavar="COLUMN", help="The column that is the record's time."
            ),
            click.option(
                "--time-format", metavar="FORMAT", help="The form of times, as in %m/%d/%Y %H:%M (strptime)."
            ),
            click.option(
                "--zone",
                metavar="ZONE",
                callback=_check_zone,
                help="The time zone of times that name none: UTC, +01:00, Europe/London.",
            ),
        )
    ):
        command = option(command)
    return command


def read_options(given: dict[str, Any]) -> FileOptions:
    """Reads what `file_options` were given."""
    from askel_tui.core.records.files import PLAIN_COLUMNS, Columns
    from askel_tui.services.record_files import FileOptions

    columns = Columns(
        given["event"], given["id_column"], given["time_column"], given["time_format"], given["zone"]
    )
    encoding: Encoding | None = "utf-16-le" if given["encoding"] == "utf-16" else given["encoding"]
    return FileOptions(
        given["kind"], encoding, given["delimiter"], PLAIN_COLUMNS if columns == Columns() else columns
    )


@contextmanager
def open_file(file: str) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes; `-` is standard input. Raises `OSError`."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


def confirm_guesses(file: RecordFile, found: Iterator[NumberedRecord]) -> Iterator[NumberedRecord]:
    """Says what a file was recognized as, and returns what was found in it.

    Where something was guessed, it shows the first records and asks; without a terminal it raises `CommandError`.
    """
    from askel_tui.services.record_files import PREVIEW_RECORDS

    if not file.shape.guessed:
        if file.describe() not in PLAIN_FILES:
            put_message(f"{file.name}: {file.describe()}")
        return found
    first = list(islice(found, PREVIEW_RECORDS))
    flags = " and ".join(f"--{name}" for name in file.shape.guessed)
    put_message(f"{file.name}: {file.describe()}")
    put_first([each for _, each in first], put_message)
    if not sys.stdin.isatty():
        raise CommandError(
            f"{file.name} does not say its {' or '.join(file.shape.guessed)}, and there is no terminal to ask on: "
            f"give {flags}",
            ExitCode.USAGE,
        )
    click.confirm("Is that right?", abort=True, err=True)
    return chain(first, found)


def put_first(first: Iterable[Record | RefusedLine], write: Callable[[str], None] = put) -> None:
    """Writes records as JSON, a line each, and refusals with their reasons."""
    from askel_tui.core.records.record import RefusedLine

    for each in first:
        if isinstance(each, RefusedLine):
            write(f"  line {each.line}: {each.reason}")
        else:
            write(f"  {format_cell(each.encode().decode('utf-8', 'replace'))}")


def put_refusals(refusals: Sequence[RefusedLine], count: int, kept: Path | None = None) -> None:
    """Writes the first refused lines with their reasons, the number of others, and the file that keeps them all."""
    for refused in refusals[:MAX_SHOWN_REFUSALS]:
        put_message(f"line {refused.line}: {refused.reason}")
    more = count - min(len(refusals), MAX_SHOWN_REFUSALS)
    if more > 0:
        put_message(f"and {pluralize(more, 'more refused line', 'more refused lines')}")
    if kept is not None:
        put_message(f"refused lines are kept in {kept}")


def _read_delimiter(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    if given is None:
        return None
    character = _DELIMITERS.get(given.lower(), given.replace("\\t", "\t"))
    if len(character) != 1 or character in '"\r\n':
        raise click.BadParameter(f"one character, or {', '.join(_DELIMITERS)}")
    return character


def _check_zone(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    from askel_tui.core.records.times import find_zone

    if given is not None:
        try:
            find_zone(given)
        except LookupError:
            message = f"no time zone is called {given!r}, such as UTC, +01:00 or Europe/London"
            raise click.BadParameter(message) from None
    return given
