"""The last line: the keys that work for the focused widget, each of which can be clicked.

One widget that repaints only when the keys change. Textual's footer makes a widget for each key whenever a screen
opens or the focus moves, which costs more than painting all of the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import ActiveBinding
from textual.strip import Strip
from textual.widget import Widget

HELP_ACTIONS = frozenset({"help", "app.help"})
"""The actions whose key stays visible."""

WHEEL_STEP_CELLS = 4
"""The number of cells by which the wheel moves a line that is wider than the screen."""


class KeyHint(NamedTuple):
    """A key of the line: the key, its name on the screen, what it does, and whether it works now."""

    key: str
    display: str
    description: str
    enabled: bool
    tooltip: str
    pinned: bool
    """True if the key stays visible where there is no room for all: the help lists the others."""

    @property
    def width(self) -> int:
        """The width in cells."""
        return Strip([Segment(f" {self.display} {self.description} ")]).cell_length


class KeyHints(Widget):
    """The line of the visible bindings, those nearest to the focus first."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-hints--key", "key-hints--words", "key-hints--hover"}

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[KeyHint, ...] = ()
        self._hovered: KeyHint | None = None
        self._offset_cells = 0

    def on_mount(self) -> None:
        """Subscribes to changes of the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _: Any) -> None:
        # While another window is in front, nothing has the focus and the keys stay as they were.
        if not self.is_attached or not self.app.app_focus:
            return
        first: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                first.setdefault(active.binding.action, active)
        keys = tuple(
            KeyHint(
                active.binding.key,
                self.app.get_key_display(active.binding),
                active.binding.description,
                active.enabled,
                active.tooltip,
                active.binding.action in HELP_ACTIONS,
            )
            for active in first.values()
        )
        if keys != self._keys:
            self._keys, self._offset_cells = keys, 0
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Renders the line, cut to the width."""
        base = self.rich_style
        moving, staying, room = self._arrange()
        strip = self._strip(moving, base).crop_extend(self._offset_cells, self._offset_cells + room, base)
        return strip if staying is None else Strip.join([strip, self._strip([staying], base)])

    def _arrange(self) -> tuple[Sequence[KeyHint], KeyHint | None, int]:
        """Divides the keys into those that move with the wheel and the one that stays at the end; also returns the
        cells for the former."""
        width = self.size.width
        staying = next((key for key in self._keys if key.pinned), None)
        if staying is None or sum(key.width for key in self._keys) <= width:
            return self._keys, None, width
        return [key for key in self._keys if key is not staying], staying, width - staying.width

    def _strip(self, keys: Iterable[KeyHint], base: Style) -> Strip:
        key_style = base + self.get_component_rich_style("key-hints--key", partial=True)
        words_style = base + self.get_component_rich_style("key-hints--words", partial=True)
        hover = self.get_component_rich_style("key-hints--hover", partial=True)
        segments = []
        for key in keys:
            also = Style.null() if key.enabled else Style(dim=True)
            if key is self._hovered:
                also += hover
            segments.append(Segment(f" {key.display} ", key_style + also))
            segments.append(Segment(f"{key.description} ", words_style + also))
        return Strip(segments)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Presses the key that was clicked."""
        key = self._key_at(event.x)
        if key is None:
            return
        if key.enabled:
            self.app.simulate_key(key.key)
        else:
            self.app.bell()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Highlights the key under the mouse and shows its tooltip."""
        self._set_hovered(self._key_at(event.x))

    def on_leave(self) -> None:
        """Removes the highlight."""
        self._set_hovered(None)

    def on_mouse_scroll_down(self) -> None:
        """Shows keys that did not fit."""
        self._shift(WHEEL_STEP_CELLS)

    def on_mouse_scroll_up(self) -> None:
        """Moves back to the first keys."""
        self._shift(-WHEEL_STEP_CELLS)

    def _shift(self, cells: int) -> None:
        moving, _, room = self._arrange()
        max_offset = max(0, sum(key.width for key in moving) - room)
        self._offset_cells = max(0, min(self._offset_cells + cells, max_offset))
        self.refresh()

    def _set_hovered(self, key: KeyHint | None) -> None:
        if key is not self._hovered:
            self._hovered = key
            self.tooltip = (key.tooltip or key.description) if key else None
            self.refresh()

    def _key_at(self, x: int) -> KeyHint | None:
        moving, staying, room = self._arrange()
        if x >= room:
            return staying
        x += self._offset_cells
        for key in moving:
            if x < key.width:
                return key
            x -= key.width
        return None
