"""Gauges of the rate limits: they show how much of each limit the last minute used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from askel_tui.text.cells import pad
from askel_tui.tui.text.charts import bar

if TYPE_CHECKING:
    from askel_tui.services.status import BudgetStatus

WARNING_SHARE, CRITICAL_SHARE = 0.7, 0.9
"""The used shares of a limit from which a gauge warns."""


class Gauges(Widget):
    """A line per call: its name, a bar, used of limit, and `!` or `!!` where little is left."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._rows: list[BudgetStatus] = []

    def show(self, rows: Sequence[BudgetStatus]) -> None:
        """Shows `rows`, the budgets of the status."""
        if list(rows) != self._rows:
            self._rows = list(rows)
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Returns one line per budget, at least one."""
        return max(1, len(self._rows))

    def render(self) -> Content:
        """Renders the lines, fitted to the width."""
        if not self._rows:
            return Content.styled("Nothing was called within the last minute.", "$foreground-muted")
        figures = [f"{row.used:,}/{row.limit:,}" for row in self._rows]
        figure = max(map(len, figures))
        room = self.size.width - figure - 4
        name = max(10, min(room - 6, 28))
        cells = max(4, min(room - name, 40))
        several = len({row.account for row in self._rows}) > 1
        parts: list[Any] = []
        for row, words in zip(self._rows, figures, strict=True):
            share = row.used / row.limit
            style = (
                "$error" if share >= CRITICAL_SHARE else "$warning" if share >= WARNING_SHARE else "$success"
            )
            sign = "!!" if share >= CRITICAL_SHARE else "! " if share >= WARNING_SHARE else "  "
            label = f"{row.account} {row.call}" if several else row.call
            label = f"+others {label}" if row.foreign else label
            parts += [
                pad(label, name) + " ",
                (bar(row.used, row.limit, cells), style),
                f" {words:>{figure}}",
                (f"{sign}\n", "bold"),
            ]
        return Content.assemble(*parts).rstrip()
