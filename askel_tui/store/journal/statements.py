"""Statements that carry many rows each.

Python's sqlite3 releases the interpreter's lock at every step and takes it back. Beside a busy event loop that wait
costs twenty times what the row itself does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import orjson

from askel_tui.store.journal.transaction import Transaction

ROWS_PER_STATEMENT = (200, 20, 1)
"""The numbers of rows of one statement: few sizes, so that the statements stay prepared."""


def insert_rows(
    db: Transaction,
    into: str,
    columns: str,
    rows: Sequence[Sequence[Any]],
    rest: str = "",
    *,
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Inserts rows in order; `rest` is the SQL after the values (`ON CONFLICT …`).

    `shared` gives columns with the same value in all rows: passing a value costs more than storing it.
    """
    shared = shared or {}
    start = 0
    for size in ROWS_PER_STATEMENT:
        while len(rows) - start >= size:
            part = rows[start : start + size]
            statement = _statement(into, columns, tuple(shared), size, rest)
            db.execute(statement, (*shared.values(), *chain.from_iterable(part)))
            start += size


@lru_cache(maxsize=64)
def _statement(into: str, columns: str, shared: Sequence[str], size: int, rest: str) -> str:
    numbered = [f"?{number}" for number in range(1, len(shared) + 1)]
    one = f"({', '.join([*numbered, *'?' * (columns.count(',') + 1)])})"
    return f"INSERT INTO {into} ({', '.join([*shared, columns])}) VALUES {', '.join([one] * size)} {rest}"


def delete_rows(db: Transaction, table: str, column: str, numbers: Collection[int]) -> int:
    """Deletes the rows that have one of the numbers in a column. Returns how many."""
    return db.execute(
        f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (json_list(numbers),)
    ).rowcount


def read_rows(
    db: Transaction, table: str, columns: str, column: str, numbers: Collection[int]
) -> list[list[Any]]:
    """Reads the rows that have one of the numbers in a column, in any order. Their values are numbers, texts or
    null."""
    found = db.execute(
        f"SELECT json_group_array(json_array({columns})) FROM {table} "
        f"WHERE {column} IN (SELECT value FROM json_each(?))",
        (json_list(numbers),),
    ).fetchone()
    rows: list[list[Any]] = orjson.loads(found[0])
    return rows


def json_list(numbers: Collection[int]) -> str:
    """Encodes numbers for `IN (SELECT value FROM json_each(?))`."""
    return orjson.dumps(list(numbers)).decode()
