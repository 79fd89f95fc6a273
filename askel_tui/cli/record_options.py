"""Options and messages for files of records, for `ingest` and `dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

import click

from askel_tui.cli.output import put_message
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.core.records.record import RefusedLine

FileFormat = Literal["jsonl", "csv"]
F = TypeVar("F", bound=Callable[..., Any])

MAX_SHOWN_REFUSALS = 20
"""The number of refused lines that are reported one by one."""


def format_option(command: F) -> F:
    """Adds `--format`."""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(("jsonl", "csv")),
        help="What the file holds; by its ending without it, else JSONL.",
    )(command)


def file_format(file: str, given: str | None) -> FileFormat:
    """Chooses the format of a file: `given`, or else the one that its ending names."""
    return "csv" if given == "csv" or (given is None and file.lower().endswith(".csv")) else "jsonl"


@contextmanager
def open_file(file: str) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes; `-` is standard input. Raises `OSError`."""
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


def put_refusals(refusals: Sequence[RefusedLine], count: int, kept: Path | None = None) -> None:
    """Writes the first refused lines with their reasons, the number of others, and the file that keeps them all."""
    for refused in refusals[:MAX_SHOWN_REFUSALS]:
        put_message(f"line {refused.line}: {refused.reason}")
    more = count - min(len(refusals), MAX_SHOWN_REFUSALS)
    if more > 0:
        put_message(f"and {pluralize(more, 'more refused line', 'more refused lines')}")
    if kept is not None:
        put_message(f"refused lines are kept in {kept}")
