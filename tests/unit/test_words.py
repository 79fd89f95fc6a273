"""The names of the code use the field's words: those that the glossary refuses are not among them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"

WIRE_NAMES = {"fate"}
"""Fields of documents that others read."""


def refused_words() -> tuple[frozenset[str], frozenset[str]]:
    """The refused words in lower case, and the refused constants, from the glossary's last table."""
    rows = GLOSSARY.read_text(encoding="utf-8").rpartition("## Words that are refused")[2].splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| ") and not row.startswith("| refused")]
    given = [word.strip() for cell in cells for word in cell.split(",")]
    constants = frozenset(word for word in given if word.isupper())
    return frozenset(word for word in given if word not in constants), constants


def defined_names(tree: ast.AST) -> Iterator[str]:
    """The names that a module defines: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


def words_of(name: str) -> set[str]:
    """The words of a name, in lower case; the state `in doubt` is one word."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", name)
    return set(re.sub(r"\bin doubt\b", "in_doubt", " ".join(words).lower()).split())


def is_refused(name: str, words: frozenset[str], constants: frozenset[str]) -> bool:
    return name not in WIRE_NAMES and (bool(words_of(name) & words) or name.strip("_") in constants)


def test_no_name_of_the_package_is_made_of_a_refused_word() -> None:
    given = refused_words()
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "askel_tui").rglob("*.py")):
        names = {path.stem, *defined_names(ast.parse(path.read_text(encoding="utf-8")))}
        strange = [each for each in names if is_refused(each, *given)]
        if strange:
            found[str(path.relative_to(ROOT))] = sorted(strange)
    assert found == {}


def test_the_glossary_refuses_words_and_constants() -> None:
    given = refused_words()
    for name in ("told_at", "TellMany", "_look", "unhurried", "MOST", "_AT_ONCE", "in_doubts"):
        assert is_refused(name, *given), name
    for name in ("consent_in_doubt", "ConsentInDoubt", "IN_DOUBT", "MOST_RECENT", "placeholder", "replace"):
        assert not is_refused(name, *given), name
