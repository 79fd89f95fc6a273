"""The scroll bar of something very long: it is painted anew only when that would look different."""

from __future__ import annotations

from textual.scrollbar import ScrollBar

STEPS_PER_CELL = 8
"""Into how many a cell can be parted when it is painted."""


class LongScrollBar(ScrollBar):
    """Moves by eighths of a cell of its own; painting it costs as much as painting all lines beside it."""

    def validate_position(self, position: float) -> float:
        """The position before, unless the thumb would be seen to move."""
        return position if abs(position - self.position) >= self._lines_per_step else self.position

    def validate_window_virtual_size(self, size: int) -> int:
        """The length before, unless the thumb would be seen to move or shrink."""
        return (
            size if abs(size - self.window_virtual_size) >= self._lines_per_step else self.window_virtual_size
        )

    @property
    def _lines_per_step(self) -> float:
        """How many lines an eighth of a cell stands for."""
        return self.window_virtual_size / (max(1, self.size.height) * STEPS_PER_CELL)
