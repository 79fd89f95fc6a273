"""Configuration as files: values change and comments stay, templates are filled, and differences are found."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.configuration.difference import compare
from askel_tui.core.configuration.editing import NotAMapping, inline, remove_value, set_value
from askel_tui.core.configuration.model import Configuration, ConnectionConfig, WorkflowConfig
from askel_tui.core.configuration.templates import fill_template

WORDS = st.sampled_from(["pause_after", "notify", "a", "welcome-2", "x y", "yes", "1", "é"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    st.lists(st.text("ab: #'\"{}[],&*!|>%@`-?\\é", max_size=6), max_size=3),
)
COMMENTS = st.sampled_from(["", "# a note", "# one: two", "#"])


@st.composite
def documents(draw: Any) -> tuple[str, dict[str, Any]]:
    """A mapping as a person writes it, with comments before and behind, and what it holds."""
    lines: list[str] = []
    found: dict[str, Any] = {}
    for name in draw(st.lists(WORDS, unique=True, max_size=4)):
        if draw(st.booleans()):
            lines.append(draw(COMMENTS))
        value, behind = draw(VALUES), draw(COMMENTS)
        if draw(st.booleans()) and isinstance(value, list) and value:
            lines.append(f"{inline(name)}: {behind}")
            lines += [f"  - {inline(each)} {draw(COMMENTS)}" for each in value]
        elif draw(st.booleans()):
            inner = draw(st.dictionaries(WORDS, VALUES, min_size=1, max_size=3))
            value = inner
            lines.append(f"{inline(name)}: {behind}")
            lines += [f"  {inline(key)}: {inline(each)} {draw(COMMENTS)}" for key, each in inner.items()]
        else:
            lines.append(f"{inline(name)}: {inline(value)} {behind}")
        found[name] = value
    text = "\n".join(lines)
    return (text + "\n" if draw(st.booleans()) and text else text), found


def _own_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]


@given(documents(), WORDS, WORDS, VALUES)
def test_a_value_is_set_and_all_else_stays(
    document: tuple[str, dict[str, Any]], name: str, inner: str, value: Any
) -> None:
    text, found = document
    changed = set_value(text, (name,), value)
    assert yaml.safe_load(changed) == {**found, name: value}
    assert [line for line in _own_lines(text) if line not in _own_lines(changed)] == []
    below = found.get(name)
    if below is not None and not isinstance(below, dict):
        with pytest.raises(NotAMapping):
            set_value(text, (name, inner), value)
        return
    changed = set_value(text, (name, inner), value)
    assert yaml.safe_load(changed) == {**found, name: {**(below or {}), inner: value}}
    assert [line for line in _own_lines(text) if line not in _own_lines(changed)] == []


@given(documents(), WORDS, WORDS)
def test_a_value_is_removed_and_all_else_stays(
    document: tuple[str, dict[str, Any]], name: str, inner: str
) -> None:
    text, found = document
    rest = {key: value for key, value in found.items() if key != name}
    assert (yaml.safe_load(remove_value(text, (name,))) or {}) == rest
    below = found.get(name)
    if isinstance(below, dict) and inner in below:
        left = {key: value for key, value in below.items() if key != inner}
        expected = {**found, name: left} if left else rest
        assert (yaml.safe_load(remove_value(text, (name, inner))) or {}) == expected


def test_flow_mappings_and_literal_texts_are_changed_too() -> None:
    assert set_value("settings: {a: 1} # all\n", ("settings", "b"), "x") == "settings: {a: 1, b: x} # all\n"
    assert set_value("settings: {}\n", ("settings", "b"), "x") == "settings: {b: x}\n"
    assert (
        set_value("settings: # none\nrest: 1\n", ("settings", "b"), 2) == "settings: {b: 2} # none\nrest: 1\n"
    )
    assert remove_value("settings: {a: 1, b: [x, y]}\n", ("settings", "a")) == "settings: {b: [x, y]}\n"
    text = "a: |\n  one\n  two\nb: 1\n"
    assert yaml.safe_load(set_value(text, ("a",), "x")) == {"a": "x", "b": 1}
    assert yaml.safe_load(remove_value(text, ("a",))) == {"b": 1}
    assert yaml.safe_load(set_value("a: 1\nb: |\n  one\n", ("c",), 2)) == {"a": 1, "b": "one\n", "c": 2}


TEMPLATE = """\
# for every brand
workflow: welcome-${connection}
connection: ${connection}
trigger: earned
profile: {email: data.email}
steps:
  - id: list # theirs
    add_to_list: {list: "${list}"}
"""


def test_a_template_is_filled_and_keeps_its_comments() -> None:
    text, problems = fill_template(TEMPLATE, {"connection": "oak", "list": 'Neu: "A" # b'}, "t.yaml")
    assert not problems
    found = yaml.safe_load(text)
    assert (found["workflow"], found["connection"]) == ("welcome-oak", "oak")
    assert found["steps"][0]["add_to_list"] == {"list": 'Neu: "A" # b'}
    assert text.startswith("# for every brand\n")
    assert "- id: list # theirs" in text


@given(st.text(max_size=30))
def test_a_value_never_becomes_more_than_a_value(value: str) -> None:
    text, problems = fill_template(TEMPLATE, {"connection": "oak", "list": value}, "t.yaml")
    assert not problems
    assert yaml.safe_load(text)["steps"] == [{"id": "list", "add_to_list": {"list": value}}]


def test_a_name_that_nobody_fills_is_said_with_the_nearest() -> None:
    _, [problem] = fill_template(TEMPLATE, {"connection": "oak", "lst": "x"}, "t.yaml")
    assert (problem.line, problem.suggestion) == (8, "lst")


def _home(**settings: Any) -> Configuration:
    workflow = WorkflowConfig("welcome", "oak", "active", "one\n", None)
    return Configuration(
        {"oak": ConnectionConfig("oak", "A1", "2026-07-15")}, {"welcome": workflow}, settings
    )


def test_a_home_does_not_differ_from_itself() -> None:
    assert compare(_home(retention_days=3), _home(retention_days=3), prune=True) == []


def test_what_is_missing_is_left_or_deleted_and_connections_go_last() -> None:
    nothing = Configuration()
    left = compare(nothing, _home(retention_days=3), prune=False)
    assert {(each.kind, each.action) for each in left} == {
        ("setting", "leave"),
        ("connection", "leave"),
        ("workflow", "leave"),
    }
    gone = compare(nothing, _home(retention_days=3), prune=True)
    assert [(each.kind, each.action) for each in gone] == [
        ("setting", "delete"),
        ("workflow", "delete"),
        ("connection", "delete"),
    ]


def test_what_can_not_be_applied_says_what_to_do() -> None:
    folder = Configuration(
        {"oak": ConnectionConfig("oak", "B2", None)},
        {"welcome": WorkflowConfig("welcome", "oak", "draft", "one\n", None)},
        {},
    )
    changes = compare(folder, _home(), prune=False)
    assert [each.blocked is not None for each in changes] == [True, True]
