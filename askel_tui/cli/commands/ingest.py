"""`askel ingest`: reads records from a file or standard input into the journal."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

from askel_tui.cli.common import EXISTING_FILE, exit_with, json_option, open_instance, run_async
from askel_tui.cli.output import put_json, put_message
from askel_tui.cli.record_options import FileFormat, file_format, format_option, open_file, put_refusals
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.ingest import IngestResult

BAR_CELLS = 24
REDRAW_INTERVAL_S = 0.1


@click.command()
@click.argument("file", type=EXISTING_FILE, metavar="FILE|-")
@click.option("--connection", required=True, metavar="NAME", help="The connection that the records are for.")
@format_option
@json_option
def ingest(file: str, connection: str, kind: str | None, as_json: bool) -> None:
    """Read records from FILE (JSONL or CSV), or from standard input (-).

    Records are stored durably before they are counted; the same id again is the same record. A line that is no record
    is refused with its reason and kept in a file, the others are stored; the exit code is then 3.

    \b
    Examples:
      askel ingest first-points.jsonl --connection maple-ember
      zcat export.csv.gz | askel ingest - --format csv --connection maple-ember
    """
    result = run_async(_ingest(file, connection, file_format(file, kind)))
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


async def _ingest(file: str, connection: str, kind: FileFormat) -> IngestResult:
    from askel_tui.core.records.files import read_lines
    from askel_tui.services.ingest import ingest as ingest_records

    # Reading blocks the event loop, so Ctrl-C must interrupt the read itself.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    async with open_instance() as instance:
        instance.state.connection(connection)
        with open_file(file) as stream:
            progress = Progress(stream)
            lines = progress.read(read_lines(stream))
            try:
                return await ingest_records(instance, connection, lines, kind, progress=progress.show)
            finally:
                progress.end()


def _put_result(result: IngestResult, connection: str) -> None:
    for line, note in result.notes:
        put_message(f"line {line}: {note}")
    for record in result.conflicting_ids:
        put_message(f"record {record} came before with another body: the first one holds")
    put_refusals(result.refusals, result.refused, result.refused_file)
    known = f", {result.duplicates:,} known already" if result.duplicates else ""
    refused = f", {pluralize(result.refused, 'line')} refused" if result.refused else ""
    put_message(f"{pluralize(result.accepted, 'new record')} for {connection}{known}{refused}")


class Progress:
    """A progress bar on standard error; on anything but a terminal it writes nothing."""

    def __init__(self, stream: BinaryIO) -> None:
        self._on = sys.stderr.isatty()
        self._size = _size(stream)
        self._read = 0
        self._drawn = 0.0

    def read(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Passes lines on and counts their bytes."""
        for line in lines:
            self._read += len(line)
            yield line

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
