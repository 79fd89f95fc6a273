"""`askel ingest`: reads records from a file or standard input into the journal."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from askel_tui.cli.common import EXISTING_FILE, exit_with, json_option, open_instance, run_async
from askel_tui.cli.output import put, put_json, put_message
from askel_tui.cli.record_options import (
    confirm_guesses,
    file_options,
    open_file,
    put_first,
    put_refusals,
    read_options,
)
from askel_tui.cli.times import rfc3339
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.ingest import IngestResult
    from askel_tui.services.record_files import FileOptions

BAR_CELLS = 24
REDRAW_INTERVAL_S = 0.1


@click.command()
@click.argument("file", type=EXISTING_FILE, metavar="FILE|-")
@click.option("--connection", required=True, metavar="NAME", help="The connection that the records are for.")
@click.option("--preview", is_flag=True, help="Show what FILE holds and its first records; store nothing.")
@file_options
@json_option
def ingest(file: str, connection: str, preview: bool, as_json: bool, **given: Any) -> None:
    """Read records from FILE (JSONL, JSON or CSV, also gzipped), or from standard input (-).

    What the file holds is recognized: encoding, line ends, what stands between columns. Where that was guessed, the
    first records are shown, and it asks; without a terminal it needs --encoding or --delimiter.

    Records are stored durably before they are counted; the same id again is the same record. A line that is no record
    is refused with its reason and kept in a file, the others are stored; the exit code is then 3.

    \b
    Examples:
      askel ingest first-points.jsonl --connection maple-ember
      askel ingest customers.csv.gz --event customer_exported --id Email --connection maple-ember --preview
    """
    options = read_options(given)
    if preview:
        _preview(file, options, as_json=as_json)
        return
    result = run_async(_ingest(file, connection, options))
    if as_json:
        put_json(
            {
                "connection": connection,
                "lines": result.lines_read,
                "accepted": result.accepted,
                "same": result.duplicates,
                "other_body": result.conflicting_ids,
                "refused": result.refused,
                "refusals": [{"line": each.line, "reason": each.reason} for each in result.refusals],
                "notes": [{"line": line, "note": note} for line, note in result.notes],
                "file": str(result.refused_file) if result.refused_file else None,
            }
        )
    _put_result(result, connection)
    if result.refused:
        exit_with(ExitCode.REFUSED)


def _preview(file: str, options: FileOptions, *, as_json: bool) -> None:
    from askel_tui.core.records.record import RefusedLine
    from askel_tui.services.record_files import preview

    with open_file(file) as stream:
        found = preview(stream, file, rfc3339(datetime.now(UTC)), options)
    if not as_json:
        put(f"{file}: {found.description}")
        put_first(found.first)
        put_message("nothing was stored")
        return
    refused = [each for each in found.first if isinstance(each, RefusedLine)]
    put_json(
        {
            "format": found.shape.format,
            "encoding": found.shape.encoding,
            "delimiter": found.shape.delimiter if found.shape.format == "csv" else None,
            "compressed": found.compressed,
            "guessed": list(found.shape.guessed),
            "records": [each.as_dict() for each in found.first if not isinstance(each, RefusedLine)],
            "refusals": [{"line": each.line, "reason": each.reason} for each in refused],
        }
    )


async def _ingest(file: str, connection: str, options: FileOptions) -> IngestResult:
    from askel_tui.services.actors import local_actor
    from askel_tui.services.ingest import store_records
    from askel_tui.services.record_files import open_record_file

    # Reading blocks the event loop, so Ctrl-C must interrupt the read itself.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    async with open_instance() as instance:
        instance.state.connection(connection)
        with open_file(file) as stream, open_record_file(stream, file, options) as opened:
            progress = Progress(0 if opened.compressed else _size(stream))
            found = confirm_guesses(opened, opened.read(rfc3339(datetime.now(UTC)), progress.read))
            try:
                return await store_records(
                    instance, connection, found, actor=local_actor("cli"), progress=progress.show
                )
            finally:
                progress.end()


def _put_result(result: IngestResult, connection: str) -> None:
    for line, note in result.notes:
        put_message(f"line {line}: {note}")
    for record in result.conflicting_ids:
        put_message(f"record {record} came before with another body: the first one holds")
    if result.unnamed_duplicates:
        rows = pluralize(result.unnamed_duplicates, "record has", "records have")
        put_message(f"{rows} no id and no time, and came before: taken for the same")
    put_refusals(result.refusals, result.refused, result.refused_file)
    known = f", {result.duplicates:,} known already" if result.duplicates else ""
    refused = f", {pluralize(result.refused, 'line')} refused" if result.refused else ""
    put_message(f"{pluralize(result.accepted, 'new record')} for {connection}{known}{refused}")


class Progress:
    """A progress bar on standard error; on anything but a terminal it writes nothing."""

    def __init__(self, size: int) -> None:
        """Makes a bar for a file of so many bytes; 0 where that is not known."""
        self._on = sys.stderr.isatty()
        self._size = size
        self._read = 0
        self._drawn = 0.0

    def read(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Passes the parts of a file on and counts their bytes."""
        for part in parts:
            self._read += len(part)
            yield part

    def show(self, so_far: IngestResult) -> None:
        """Draws the bar anew, ten times a second at most."""
        if not self._on or time.monotonic() - self._drawn < REDRAW_INTERVAL_S:
            return
        self._drawn = time.monotonic()
        counts = f"{so_far.accepted + so_far.duplicates:,} records, {so_far.refused:,} refused"
        sys.stderr.write(f"\r\x1b[K{self._bar()}{counts}")
        sys.stderr.flush()

    def _bar(self) -> str:
        if not self._size:
            return ""
        share = min(1.0, self._read / self._size)
        full = round(BAR_CELLS * share)
        return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] {share:4.0%}  "

    def end(self) -> None:
        """Erases the bar."""
        if self._on and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _size(stream: BinaryIO) -> int:
    """Returns the size of a file in bytes, 0 for a pipe."""
    try:
        return os.fstat(stream.fileno()).st_size
    except OSError:
        return 0
