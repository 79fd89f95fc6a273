"""Opens files of records: recognizes what they are, reads their records, and shows the first of them."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, cast

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.records.delimited import OWN_COLUMNS
from askel_tui.core.records.files import PLAIN_COLUMNS, Columns, NumberedRecord, read_records
from askel_tui.core.records.record import Record, RefusedLine
from askel_tui.core.records.shape import SAMPLE_BYTES, Encoding, FileFormat, FileShape, recognize

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


PREVIEW_RECORDS = 3
"""The number of records by which a person sees what a file was recognized as."""


class UnreadableFile(AskelError):
    """A file of a kind that holds no records, such as a workbook."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a person says of a file; what is None is recognized."""

    format: FileFormat | None = None
    encoding: Encoding | None = None
    delimiter: str | None = None
    columns: Columns = PLAIN_COLUMNS


@dataclass(slots=True)
class RecordFile:
    """An open file of records."""

    name: str
    shape: FileShape
    compressed: bool
    _stream: BinaryIO
    _columns: Columns

    def read(
        self, now: str, progress: Callable[[Iterable[bytes]], Iterable[bytes]] = iter
    ) -> Iterator[NumberedRecord]:
        """Reads the records, once. `now` is the time of those without one. Raises `OSError`.

        `progress` passes on the parts of the file that are read, as UTF-8.
        """
        number = 0
        found = read_records(self._stream, self.shape, now=now, columns=self._columns, progress=progress)
        try:
            for number, each in found:
                yield number, each
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield (
                number + 1,
                RefusedLine(number + 1, f"the compressed data ends or is damaged here: {error}", b""),
            )

    def describe(self) -> str:
        """Describes what the file was recognized as."""
        guessed = " (guessed: the file does not say)" if self.shape.guessed else ""
        return self.shape.describe() + (", compressed" if self.compressed else "") + guessed


@contextmanager
def open_record_file(
    stream: BinaryIO, name: str, options: FileOptions = FileOptions()
) -> Iterator[RecordFile]:
    """Recognizes a stream of records by its first bytes; `name` tells its format where its ending does.

    Raises `UnreadableFile` and `OSError`.
    """
    head = _read_head(stream)
    if head.startswith(_ZIP):
        raise UnreadableFile(
            f"{name} is an Excel workbook or a zip file: save the sheet as CSV, or unpack it"
        )
    compressed = head.startswith(_GZIP)
    if compressed:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=_rejoin(head, stream)))
        try:
            head = _read_head(stream)
        except (EOFError, zlib.error, OSError) as error:
            raise UnreadableFile(f"{name} can't be unpacked: {error}") from None
    columns = options.columns
    shape = recognize(
        head,
        name,
        file_format=options.format,
        encoding=options.encoding,
        delimiter=options.delimiter,
        columns={*OWN_COLUMNS, *columns.named},
    )
    yield RecordFile(name, shape, compressed, _rejoin(head, stream), columns)


@dataclass(frozen=True, slots=True)
class FilePreview:
    """What a file was recognized as, and its first records and refusals."""

    shape: FileShape
    compressed: bool
    description: str
    first: list[Record | RefusedLine]


def preview(stream: BinaryIO, name: str, now: str, options: FileOptions = FileOptions()) -> FilePreview:
    """Recognizes a file and reads its first records; nothing is stored. Raises as `open_record_file` does."""
    with open_record_file(stream, name, options) as file:
        first = [each for _, each in islice(file.read(now), PREVIEW_RECORDS)]
        return FilePreview(file.shape, file.compressed, file.describe(), first)


def _read_head(stream: BinaryIO) -> bytes:
    """Reads the first bytes; of a pipe only what is there, so that a live one is not waited for."""
    read = getattr(stream, "read1", stream.read)
    head = b""
    while len(head) < 4 and (more := read(SAMPLE_BYTES)):
        head += more
    return head


def _rejoin(head: bytes, stream: BinaryIO) -> BinaryIO:
    """Returns a stream that begins again with what was read of it."""
    return cast(BinaryIO, io.BufferedReader(_Rejoined(head, stream)))


class _Rejoined(io.RawIOBase):
    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = len(buffer)
        part = self._head[:size] or getattr(self._rest, "read1", self._rest.read)(size)
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)
