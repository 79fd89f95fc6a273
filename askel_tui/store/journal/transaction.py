"""The database transaction that the journal's rules work with, whatever engine is below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""
        ...

    @property
    def lastrowid(self) -> int | None:
        """The key of the row that an INSERT added."""
        ...

    def fetchone(self) -> Any:
        """Returns the next row as a tuple; None after the last one."""
        ...

    def fetchall(self) -> list[Any]:
        """Returns all rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Transaction(Protocol):
    """An open transaction; its opener commits it or rolls it back."""

    accepted: dict[int, tuple[str, bytes]]
    """The records that were accepted and have no entry in the audit yet, by `seq`: connection and commitment."""

    ends: Any
    """The ends of the audit's chains for all writes of the transaction (`ChainEnds`); None where each write saves its
    own."""

    def random_bytes(self, count: int, /) -> bytes:
        """Returns bytes that nobody can guess, from the source that the journal was opened with."""
        ...

    def steady_ms(self) -> int:
        """Reads a clock in milliseconds that nobody sets, and that all processes of the machine share until it is
        started anew."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ..., /) -> Rows:
        """Runs one statement with `?` or `:name` parameters."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Rows:
        """Runs one statement for each tuple of parameters."""
        ...


def inserted_id(rows: Rows) -> int:
    """Returns the key of the row that an INSERT added."""
    if rows.lastrowid is None:
        raise AssertionError("an insert gives a row id")
    return rows.lastrowid
