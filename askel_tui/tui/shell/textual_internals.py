"""The private names of Textual that the console uses, each with its reason; `tests/tui/test_textual_internals.py`
says when a release of Textual changes one.

Overridden in the classes themselves: `App._handle_exception` (`app.py`) and `Screen._on_screen_resume`
(`screens/base_screen.py`).
"""

from __future__ import annotations

from typing import Any

from textual._context import active_message_pump
from textual.app import App
from textual.geometry import Size
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.widget import Widget


def mounted_screens(app: App[Any]) -> dict[str, Screen[Any]]:
    """Returns the bottom screen of every mode that is mounted. `App.get_screen_stack` raises for a mode that is not."""
    return {mode: stack[0] for mode, stack in app._screen_stacks.items() if stack}


async def mount_mode(app: App[Any], mode: str) -> Screen[Any]:
    """Mounts the screen of a mode without showing it; the public way, `switch_mode`, shows it."""
    await app._init_mode(mode)
    return app._screen_stacks[mode][0]


def has_current_styles(screen: Screen[Any]) -> bool:
    """Checks whether a screen's styles are those of the app's theme.

    Textual applies all anew each time a screen resumes.
    """
    return screen._css_update_count == screen.app._css_update_count


def apply_current_styles(screen: Screen[Any]) -> None:
    """Applies the app's styles to a screen that is not shown, so that it need not be done when it is."""
    screen.app.stylesheet.update(screen)
    screen._css_update_count = screen.app._css_update_count


def reread_theme(app: App[Any]) -> None:
    """Applies the present theme again, of which a file has changed: assigning `theme` its value does nothing."""
    app._invalidate_css()
    app.refresh_css(animate=False)


def is_leaving(app: App[Any]) -> bool:
    """Checks whether the app, or the widget whose handler runs now, is going away."""
    pump = active_message_pump.get(None)
    return app._exit or (pump is not None and (pump._closing or not pump.is_attached))


def set_vertical_scrollbar(view: ScrollView, bar: ScrollBar) -> None:
    """Gives a view a scroll bar of another class; Textual has no hook for that."""
    view._vertical_scrollbar = bar
    bar.display = False
    view.app._start_widget(view, bar)


def has_vertical_scrollbar(view: Widget) -> bool:
    """Checks whether a widget has made its scroll bar already."""
    return view._vertical_scrollbar is not None


def set_virtual_size(view: ScrollView, size: Size) -> None:
    """Sets the size of a view's content; assigning `virtual_size` would lay out the whole screen."""
    view.set_reactive(ScrollView.virtual_size, size)
    view._scroll_update(size)
