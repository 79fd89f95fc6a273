"""Cuts JSON that goes over several lines, or is one long list, into the objects in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from askel_tui.core.records.record import MAX_RECORD_BYTES

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
_QUOTE, _LIST, _END_OF_LIST = b'"[]'
_OPENING = b"{["
_BLANK = b" \t\r\n,"
_MAX_BYTES = MAX_RECORD_BYTES + 2


def split_documents(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields each object with the number of its first line: those of a list, or ones that follow one another.

    Whatever else stands between them is yielded as well, to be refused. What is too long is cut just over the size
    that is refused.
    """
    splitter = _Splitter()
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.end()


class _Splitter:
    """The state of the cutting: a buffer that begins where the present object, or the gap before it, does."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        """Where the next token is looked for."""
        self._line = 1
        """The number of the line at which the buffer begins."""
        self._depth = 0
        self._ground = 0
        """The depth between objects: 1 in a list of them."""
        self._started = False
        """True if the buffer begins with an object, False if with a gap."""
        self._inside_text = False
        self._head = b""
        """The beginning of an object that is too long to be kept."""

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Takes a chunk in, and yields the objects that end in it."""
        self._buffer += chunk
        while (token := self._next_token()) is not None:
            first, start, self._at = self._buffer[token.start()], token.start(), token.end()
            if first == _QUOTE:
                self._inside_text = token.end() == start + 1
            elif first not in _OPENING and self._depth > self._ground + 1:
                self._depth -= 1
            elif first in _OPENING and self._started:
                self._depth += 1
            else:
                yield from self._turn(first, start, token.end())
        if len(self._buffer) > 2 * _MAX_BYTES:
            # Its beginning is kept, and what was read of the rest is forgotten.
            self._head = self._head or self._buffer[:_MAX_BYTES]
            self._drop(self._at)

    def _next_token(self) -> re.Match[bytes] | None:
        """Finds the next bracket or text; where there is none, or a text goes on, the rest is passed over."""
        if self._inside_text:
            rest = _REST_OF_TEXT.match(self._buffer, self._at)
            if rest is None:
                left = self._buffer[self._at :]
                self._at = len(self._buffer) - (len(left) - len(left.rstrip(b"\\"))) % 2
                return None
            self._inside_text, self._at = False, rest.end()
        token = _TOKEN.search(self._buffer, self._at)
        if token is None:
            self._at = len(self._buffer)
        return token

    def _turn(self, token: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Begins or ends an object or the list of them at a bracket."""
        if token in _OPENING:
            yield from self._cut_gap(start)
            self._depth += 1
            self._started = token != _LIST or self._ground == 1
            if not self._started:
                self._ground = 1
                self._drop(1)
        elif self._started:
            yield self._line, (self._head or self._buffer[:end])[:_MAX_BYTES]
            self._head, self._started = b"", False
            self._depth -= 1
            self._drop(end)
        elif self._ground == 1 and token == _END_OF_LIST:
            yield from self._cut_gap(start)
            self._drop(1)
            self._ground = self._depth = 0

    def end(self) -> Iterator[tuple[int, bytes]]:
        """Yields what is left at the end of the file."""
        rest = self._head or self._buffer
        if rest.strip(_BLANK):
            yield self._first_line(rest), rest.strip(_BLANK)[:_MAX_BYTES]
        elif self._ground:
            yield self._line, b"["

    def _cut_gap(self, end: int) -> Iterator[tuple[int, bytes]]:
        """Yields the text before an object if it is more than commas, and begins the buffer behind it."""
        gap = self._buffer[:end]
        if gap.strip(_BLANK):
            yield self._first_line(gap), gap.strip(_BLANK)[:_MAX_BYTES]
        self._drop(end)

    def _first_line(self, text: bytes) -> int:
        return self._line + text[: len(text) - len(text.lstrip(_BLANK))].count(b"\n")

    def _drop(self, count: int) -> None:
        self._line += self._buffer.count(b"\n", 0, count)
        self._buffer = self._buffer[count:]
        self._at = max(0, self._at - count)
