"""Cuts a file into lines or chunks of UTF-8, whatever its encoding and line ends; memory stays bounded. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from askel_tui.core.records.record import MAX_RECORD_BYTES

CHUNK_BYTES = 65_536
_LINE_END = re.compile(b"\n")
_ANY_LINE_END = re.compile(b"\r\n|\n|\r")
_MAX_LINE_BYTES = MAX_RECORD_BYTES + 2
"""A longer line is cut just over the size that is refused."""


def read_lines(stream: BinaryIO, encoding: str = "utf-8", *, any_end: bool = False) -> Iterator[bytes]:
    """Reads the lines of a file as UTF-8, each with its end. One that is too long is cut just over what is refused.

    A line ends with LF, or with any of LF, CRLF and CR. A character that the encoding does not have leaves bytes that
    are no UTF-8, so that its line alone is refused.
    """
    if encoding != "utf-8":
        yield from _split(read_chunks(stream, encoding), _ANY_LINE_END if any_end else _LINE_END)
    elif any_end:
        # By lines, so that what comes through a pipe is not waited for.
        pieces = iter(lambda: stream.readline(CHUNK_BYTES), b"")
        yield from _split(pieces, _ANY_LINE_END)
    else:
        while line := stream.readline(_MAX_LINE_BYTES):
            yield line
            cut = len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n")
            while cut:
                rest = stream.readline(MAX_RECORD_BYTES)
                cut = bool(rest) and not rest.endswith(b"\n")


def read_chunks(stream: BinaryIO, encoding: str = "utf-8") -> Iterator[bytes]:
    """Reads a file in chunks of UTF-8."""
    if encoding == "utf-8":
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
        return
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while chunk := stream.read(CHUNK_BYTES):
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        # Half of a character is left: its line is refused for it.
        yield b"\xff"


def _split(chunks: Iterable[bytes], end: re.Pattern[bytes]) -> Iterator[bytes]:
    line = bytearray()
    for chunk in _with_whole_ends(chunks):
        start = 0
        for found in end.finditer(chunk):
            line += chunk[start : found.end()]
            yield bytes(line[:_MAX_LINE_BYTES])
            line.clear()
            start = found.end()
        if len(line) < _MAX_LINE_BYTES:
            line += chunk[start:]
    if line:
        yield bytes(line[:_MAX_LINE_BYTES])


def _with_whole_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Moves a CR at the end of a chunk to the next one, which may begin with its LF."""
    kept = b""
    for chunk in chunks:
        whole = kept + chunk
        kept = b"\r" if whole.endswith(b"\r") else b""
        yield whole[: len(whole) - len(kept)]
    yield kept
