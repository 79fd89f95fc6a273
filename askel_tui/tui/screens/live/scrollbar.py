"""A scroll bar for very long content: it is painted anew only when that would look different."""

from __future__ import annotations

from textual.scrollbar import ScrollBar

STEPS_PER_CELL = 8
"""Into how many steps Textual divides a cell of a scroll bar."""


class LongScrollBar(ScrollBar):
    """Moves by whole steps of its cells: painting it costs as much as painting all lines beside it."""

    def validate_position(self, position: float) -> float:
        """The new position, but the present one where the thumb would not be seen to move."""
        return position if abs(position - self.position) >= self._lines_per_step else self.position

    def validate_window_virtual_size(self, size: int) -> int:
        """The new length, but the present one where the thumb would not be seen to change."""
        return (
            size if abs(size - self.window_virtual_size) >= self._lines_per_step else self.window_virtual_size
        )

    @property
    def _lines_per_step(self) -> float:
        """How many lines a step stands for."""
        return self.window_virtual_size / (max(1, self.size.height) * STEPS_PER_CELL)
