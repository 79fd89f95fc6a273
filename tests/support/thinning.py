"""What `make test` leaves to the proofs of tests that repeat one thing many times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest


def grid(rows: Iterable[Any], columns: Iterable[Any], *, one_in: int = 3) -> list[Any]:
    """All pairs, of which one in `one_in` runs in `make test` and the others are slow.

    Those that run lie on diagonals, so that each row and each column is met, if it is as long as `one_in`.
    """
    return [
        pytest.param(row, column, marks=[pytest.mark.slow] if (row_number + column_number) % one_in else [])
        for (row_number, row), (column_number, column) in product(enumerate(rows), enumerate(columns))
    ]


def first_only(values: Sequence[Any]) -> list[Any]:
    """The first as it is, the others slow."""
    return [values[0], *(pytest.param(each, marks=pytest.mark.slow) for each in values[1:])]
