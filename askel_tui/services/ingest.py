"""Records in from files: refused lines are kept aside, good ones are durable before they are counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from askel_tui.core.records.files import read_csv, read_jsonl
from askel_tui.core.records.record import Record, Refused
from askel_tui.store.paths import make_private, refused_dir
from askel_tui.sync.instance import Instance

BATCH = 500
"""Records stored in one transaction."""

Kind = Literal["jsonl", "csv"]
T = TypeVar("T")


@dataclass(slots=True)
class Intake:
    """What became of a file: counts, and the refused lines with their reasons (the first of them)."""

    accepted: int = 0
    same: int = 0
    other_body: list[str] = field(default_factory=list)
    """Ids that came again with another body: the first one holds."""
    refused: int = 0
    refusals: list[Refused] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    """What was changed about a record at the door, by line."""
    kept: Path | None = None
    """Where the refused lines are."""
    lines: int = 0


SHOWN = 100
"""How many refusals, notes and ids of another body are remembered; all are counted."""


async def ingest(
    instance: Instance,
    connection: str,
    lines: Iterable[bytes],
    kind: Kind,
    *,
    progress: Callable[[Intake], None] | None = None,
) -> Intake:
    """Takes the records of a file in for a connection. Raises `UnknownConnection` and journal errors."""
    instance.state.connection(connection)
    result = Intake()
    batch: list[Record] = []
    with _Aside(instance.home, connection) as aside:
        for line, read in _read(lines, kind, _now(instance)):
            result.lines = line
            if isinstance(read, Refused):
                aside.keep(read)
                result.refused += 1
                _remember(result.refusals, read)
                continue
            for note in read.notes:
                _remember(result.notes, (line, note))
            batch.append(read)
            if len(batch) >= BATCH:
                await _store(instance, connection, batch, result)
                batch = []
                if progress is not None:
                    progress(result)
        if batch:
            await _store(instance, connection, batch, result)
        result.kept = aside.path
    if progress is not None:
        progress(result)
    return result


async def _store(instance: Instance, connection: str, batch: list[Record], result: Intake) -> None:
    fates = await instance.journal.accept(connection, batch, instance.clock())
    for record, fate in zip(batch, fates, strict=True):
        if fate == "new":
            result.accepted += 1
        else:
            result.same += 1
            if fate == "other_body":
                _remember(result.other_body, record.id)


def _read(lines: Iterable[bytes], kind: Kind, now: str) -> Iterator[tuple[int, Record | Refused]]:
    return read_csv(lines, now=now) if kind == "csv" else read_jsonl(lines, now=now)


def _now(instance: Instance) -> str:
    return datetime.fromtimestamp(instance.clock() / 1000, UTC).isoformat(timespec="milliseconds")


def _remember(where: list[T], item: T) -> None:
    if len(where) < SHOWN:
        where.append(item)


class _Aside:
    """The file that refused lines go to, made when the first one comes: `line<TAB>reason<TAB>text`."""

    def __init__(self, home: Path, connection: str) -> None:
        self._directory = refused_dir(home)
        self._connection = connection
        self._file: BinaryIO | None = None
        self.path: Path | None = None

    def __enter__(self) -> _Aside:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, refused: Refused) -> None:
        if self._file is None:
            make_private(self._directory)
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            self.path = self._directory / f"{self._connection}-{stamp}.tsv"
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        text = refused.text.replace(b"\t", b" ").replace(b"\r", b" ").replace(b"\n", b" ")
        self._file.write(b"%d\t%s\t%s\n" % (refused.line, refused.reason.encode(), text))
