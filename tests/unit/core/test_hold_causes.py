"""The causes of holds: each that the code can use has its words, and a way to end."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import askel_tui
from askel_tui.core.hold_causes import HOLD_CAUSES, KEY_CAUSES, Cause, hold_cause
from askel_tui.store.journal.tables.holds.placing import OBSTACLE_CAUSES

CAUSE_ARGUMENT = {"Action": 2, "Hold": 4, "HeldOperations": 1, "make_finding": 1}
"""Where these calls take the cause, counted from 0."""

COLUMN_CELLS = 28


def test_every_cause_has_a_row() -> None:
    assert set(HOLD_CAUSES) == set(Cause)
    for name, cause in HOLD_CAUSES.items():
        assert cause.description, name
        assert 0 < len(cause.short) <= COLUMN_CELLS
        assert "_" not in cause.short


def test_the_code_places_holds_for_these_causes_only() -> None:
    package = Path(askel_tui.__file__).parent
    given = [each for file in package.rglob("*.py") for each in _given_causes(ast.parse(file.read_text()))]
    written = {each.value for each in given if isinstance(each, ast.Constant)} - {""}
    named = {Cause[each.attr] for each in given if isinstance(each, ast.Attribute) and _is_cause(each)}
    assert written == set()
    assert named | set(OBSTACLE_CAUSES.values()) == set(Cause)


def test_a_cause_that_is_not_known_stands_for_itself() -> None:
    assert hold_cause("of_a_later_version").short == "of_a_later_version"


def test_what_is_about_the_key_ends_with_a_new_one() -> None:
    assert {Cause.KEY_REFUSED, Cause.OTHER_ACCOUNT, Cause.SCOPE_MISSING} == KEY_CAUSES
    for name in KEY_CAUSES:
        assert HOLD_CAUSES[name].ends_by_itself
        assert "askel rotate" in HOLD_CAUSES[name].remedy


def _given_causes(tree: ast.AST) -> Iterator[ast.expr]:
    """The arguments that name a cause where a hold is made or prepared."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        position = CAUSE_ARGUMENT.get(name)
        if position is not None and len(node.args) > position:
            yield node.args[position]
        yield from (each.value for each in node.keywords if each.arg == "cause")


def _is_cause(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "Cause"
