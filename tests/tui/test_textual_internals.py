"""The private names of Textual that the console uses exist, in the shape that it relies on."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from textual._context import active_message_pump
from textual.app import App
from textual.events import ScreenResume
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.scrollbar import ScrollBar
from textual.widget import Widget

import askel_tui.tui
from askel_tui.tui.shell import textual_internals

METHODS: dict[str, tuple[type, list[str]]] = {
    "_init_mode": (App, ["self", "mode"]),
    "_invalidate_css": (App, ["self"]),
    "_start_widget": (App, ["self", "parent", "widget"]),
    "_handle_exception": (App, ["self", "error"]),
    "_on_screen_resume": (Screen, ["self", "event"]),
    "_scroll_update": (Widget, ["self", "virtual_size"]),
}
"""By name: the class that defines a method, and its parameters."""

ATTRIBUTES: dict[str, type] = {
    "_screen_stacks": App,
    "_css_update_count": Screen,
    "_exit": App,
    "_closing": MessagePump,
    "_vertical_scrollbar": Widget,
}
"""By name: the class whose instances have an attribute."""


@pytest.mark.parametrize("name", METHODS)
def test_a_private_method_takes_what_the_console_gives_it(name: str) -> None:
    owner, parameters = METHODS[name]
    assert list(inspect.signature(owner.__dict__[name]).parameters) == parameters


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_private_attribute_is_set_where_the_console_reads_it(name: str) -> None:
    assert f"self.{name}" in inspect.getsource(ATTRIBUTES[name])


async def test_private_attributes_have_the_values_that_the_console_relies_on() -> None:
    app: App[Any] = App()
    async with app.run_test():
        assert app._screen_stacks["_default"][0] is app.screen
        assert isinstance(app._css_update_count, int)
        assert isinstance(app.screen._css_update_count, int)
        assert app._exit is False
        assert app.screen._closing is False
        assert app.screen._vertical_scrollbar is None
        assert isinstance(app.screen.vertical_scrollbar, ScrollBar)
        assert active_message_pump.get(None) is not None
        assert ScreenResume().refresh_styles is True


def test_private_names_are_used_in_one_module_alone() -> None:
    """But for the overrides; a name of the console's own is one that it defines."""
    root = Path(inspect.getfile(askel_tui.tui)).parent
    trees = {file: ast.parse(file.read_text("utf-8")) for file in root.rglob("*.py")}
    own = {name for tree in trees.values() for name in _defined(tree)}
    overrides = {"_handle_exception", "_on_screen_resume"}
    for file, tree in trees.items():
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__")
        }
        foreign = used - (own - METHODS.keys() - ATTRIBUTES.keys()) - overrides
        if file == Path(textual_internals.__file__):
            assert foreign == (METHODS.keys() | ATTRIBUTES.keys()) - overrides
        else:
            assert not foreign, f"{file} uses {foreign}"


def _defined(tree: ast.Module) -> set[str]:
    """The names of functions, attributes of `self` and fields that a module defines."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found
