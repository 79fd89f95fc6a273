"""A scroll bar for very long content: it is painted anew only when its appearance changes."""

from __future__ import annotations

from textual.scrollbar import ScrollBar

STEPS_PER_CELL = 8
"""The number of steps into which Textual divides a cell of a scroll bar."""


class LongScrollBar(ScrollBar):
    """A scroll bar that moves by whole steps of its cells: painting it costs as much as painting all lines
    beside it."""

    def validate_position(self, position: float) -> float:
        """Returns the new position, but the present one where the thumb would not be seen to move."""
        return position if abs(position - self.position) >= self._lines_per_step else self.position

    def validate_window_virtual_size(self, size: int) -> int:
        """Returns the new length, but the present one where the thumb would not be seen to change."""
        return (
            size if abs(size - self.window_virtual_size) >= self._lines_per_step else self.window_virtual_size
        )

    @property
    def _lines_per_step(self) -> float:
        """The number of lines that a step stands for."""
        return self.window_virtual_size / (max(1, self.size.height) * STEPS_PER_CELL)
