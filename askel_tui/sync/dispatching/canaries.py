"""Canaries: the first people whose operations go another way than all others, to see whether it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable

MAX_CANARY_RECORDS = 20
"""The number of records whose people are a canary; what else comes of these people goes their way too."""


def canary_lane(connection: str) -> str:
    """Returns the name under which the lanes of a connection's canary stand: no connection has such a name."""
    return f"{connection} canary"


class Canary:
    """The people of a canary, as lines; in memory only, since lines keep one person's operations in a row."""

    def __init__(self) -> None:
        self._lines: set[int] = set()
        self._records: set[int] = set()

    def takes(self, lines: Collection[int], record_seq: int) -> bool:
        """Checks whether an operation is of one of the people; the first ones that are asked for become so."""
        if self._lines.isdisjoint(lines):
            if len(self._records) >= MAX_CANARY_RECORDS:
                return False
            self._records.add(record_seq)
        self._lines.update(lines)
        return True


class Canaries:
    """The canaries of an account's connections."""

    def __init__(self) -> None:
        self._by_connection: dict[str, Canary] = {}

    def keep(self, connections: Iterable[str]) -> None:
        """Has the first people of `connections` stand in lanes of their own from now on, and nobody of the others."""
        self._by_connection = {name: self._by_connection.get(name) or Canary() for name in connections}

    def lane_of(self, connection: str, lines: Collection[int], record_seq: int) -> str:
        """Returns the name under which the lane of an operation stands."""
        people = self._by_connection.get(connection)
        return canary_lane(connection) if people and people.takes(lines, record_seq) else connection
