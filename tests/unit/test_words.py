"""The names in the code keep to the glossary: refused words are not used, numbers have a noun in their name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.files import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"

ALLOWED_NAMES = {
    "fate": "the field of the HTTP API's answers",
}
"""Names with a refused word in them that stay, each with the reason."""

ALLOWED_PHRASES = ("in_doubt", "InDoubt")
"""What may stand in a name although it holds a refused word."""

VERB_ONLY = frozenset({"place"})
"""Refused as a noun: a name may begin with it, and go on."""

WORDS_OF_SENTENCES = frozenset(
    ["apart", "around", "beside", "look", "looks", "looking", "place", "places", "whatever", "whoever"]
)
"""Plain words of English, which a test's name may hold: that is a sentence."""


def refused_words() -> tuple[frozenset[str], frozenset[str]]:
    """(words that no name may hold, names that no constant may have), from the glossary's last table."""
    table = GLOSSARY.read_text(encoding="utf-8").rpartition("## Words that are refused")[2]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    words = [word for cell in cells[1:] for word in cell.split(", ")]
    return (
        frozenset(word for word in words if word.islower()),
        frozenset(word for word in words if word.isupper()),
    )


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: `_ToldAt` and `_told_at` are told and at."""
    for phrase in ALLOWED_PHRASES:
        name = re.sub(rf"{phrase}(?![a-z])", "", name, flags=re.IGNORECASE)
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias() if node.asname is not None:
                yield node.asname, node.lineno


def numbers_without_a_noun(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Constants of a module that are a number and have a name of one word."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            value = node.value.value
            for target in node.targets:
                name = target.id if isinstance(target, ast.Name) else ""
                if type(value) in (int, float) and name.isupper() and len(words_of(name)) < 2:
                    yield name, node.lineno


def is_refused(name: str, words: frozenset[str], constants: frozenset[str]) -> bool:
    """Whether a name holds a refused word."""
    if name in ALLOWED_NAMES:
        return False
    found = words_of(name)
    if len(found) > 1 and found[0] in VERB_ONLY:
        found = found[1:]
    if name.startswith("test_"):
        words = words - WORDS_OF_SENTENCES
    return name.strip("_") in constants or not words.isdisjoint(found)


@cache
def parsed_files() -> dict[Path, ast.Module]:
    """The files of the program and of its tests, by their path in the repository."""
    paths = sorted(path for folder in ("askel_tui", "tests") for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@pytest.mark.slow
def test_no_name_holds_a_refused_word() -> None:
    words, constants = refused_words()
    found = []
    for path, tree in parsed_files().items():
        names = {(path.stem, 1), *defined_names(tree)}
        refused = {(line, name) for name, line in names if is_refused(name, words, constants)}
        found += [f"{path}:{line} {name}" for line, name in sorted(refused)]
    assert not found, "docs/glossary.md says what to write instead:\n" + "\n".join(found)


def test_a_constant_that_is_a_number_says_what_of() -> None:
    found = [
        f"{path}:{line} {name}"
        for path, tree in parsed_files().items()
        if path.parts[0] != "tests"
        for name, line in numbers_without_a_noun(tree)
    ]
    assert not found, "a number's name has a noun and a unit, as MAX_ROWS_PER_PAGE:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "name", ["told", "_told_at", "ToldAt", "TELL_S", "free_places", "place", "MOST", "front_door"]
)
def test_refused_names_are_recognised(name: str) -> None:
    assert is_refused(name, *refused_words())


@pytest.mark.parametrize(
    "name", ["place_hold", "in_doubt", "requests_in_doubt", "MAX_ROWS", "lookup", "test_it_looks_like_this"]
)
def test_good_names_are_let_through(name: str) -> None:
    assert not is_refused(name, *refused_words())
