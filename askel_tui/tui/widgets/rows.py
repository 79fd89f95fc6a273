"""The rows of a table. No Textual here."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | tuple[str, str]
"""The content of a cell: text, or (text, style); the table removes control characters and cuts it to the column."""

Row = tuple[str, Sequence[Cell]]
"""The key of a row, which is the row's for good, and its cells."""
