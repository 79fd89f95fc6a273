"""Lines that were found to be one late: when operations waited in both, or had just been sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from askel_tui.store.journal.rows import LateLine

WaitingBefore = Callable[[int, int], tuple[list[int], bool]]
"""A function that finds the operations (`seq`) of a line that wait and are of older records than one, and whether
any are being sent or are left after these."""

MAX_REMEMBERED_LINES = 10_000
"""The number of lines whose last sent records are remembered, or twice as many."""

MAX_SENT_RECORDS = 32
"""The number of records that are remembered of a line."""


class SentRecords:
    """The records whose operations were sent last, by line."""

    def __init__(self) -> None:
        self._newer: dict[int, tuple[int, ...]] = {}
        self._older: dict[int, tuple[int, ...]] = {}

    def of(self, line: int) -> tuple[int, ...]:
        """Returns the records (`seq`) that were sent last in a line; none where that is long ago."""
        return self._newer.get(line) or self._older.get(line, ())

    def add(self, line: int, record_seq: int) -> None:
        """Notes a record that was sent."""
        newer = self._newer
        known = newer.get(line)
        if known is None:
            known = self._older.get(line, ())
            if len(newer) >= MAX_REMEMBERED_LINES:
                self._older, newer = newer, {}
                self._newer = newer
        elif record_seq in known:
            return
        newer[line] = (*known[1 - MAX_SENT_RECORDS :], record_seq)


class LateLines:
    """The joined lines of which older records may be sent, or were sent, after newer ones."""

    def __init__(self) -> None:
        self.sent = SentRecords()
        self._mixed: set[int] = set()
        self._unsettled: set[int] = set()
        """The mixed lines in which something changed."""

    def join(self, line: int, into: int, *, both_wait: bool) -> None:
        """Notes that a line went into another; `both_wait` if operations wait in each, or in one and the other sent."""
        sent = self.sent.of(line)
        if both_wait or line in self._mixed or (sent and self.sent.of(into)):
            self._mixed.add(into)
            self._unsettled.add(into)
        self._mixed.discard(line)
        self._unsettled.discard(line)
        if sent:
            for record_seq in sent:
                self.sent.add(into, record_seq)

    def add_waiting(self, line: int, record_seq: int, *, newer_in_flight: bool) -> None:
        """Notes that an operation of a record waits: resumed, released or planned late, it may be older than what was
        sent, or is being sent."""
        if max(self.sent.of(line), default=0) > record_seq:
            self._unsettled.add(line)
        elif not newer_in_flight:
            return
        self._mixed.add(line)

    def add_sent(self, lines: Iterable[int], record_seq: int) -> None:
        """Notes that an operation of a record was sent."""
        for line in lines:
            self.sent.add(line, record_seq)
            if line in self._mixed:
                self._unsettled.add(line)

    def take(self, waiting: WaitingBefore) -> list[LateLine]:
        """Takes the lines that are to be settled; `waiting` gives the operations of a line before a record."""
        found = []
        for line in self._unsettled:
            sent = self.sent.of(line)
            older, more = waiting(line, max(sent, default=0))
            if not more:
                self._mixed.discard(line)
            if sent and (older or len(sent) > 1):
                found.append(LateLine(older, sent, line))
        self._unsettled.clear()
        return found
