"""The rows of a table. No Textual here."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | tuple[str, str]
"""Text, or (text, style); the table takes control characters away and cuts it to the column."""

Row = tuple[str, Sequence[Cell]]
"""A key that is the row's for good, and its cells."""
