"""References in docstrings, comments and documents lead somewhere inside the repository."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.name for path in (ROOT / "askel_tui").iterdir() if (path / "__init__.py").exists())
FILES = [
    *sorted((ROOT / "askel_tui").rglob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / ".ci" / "build-contract",
]
OUTSIDE = re.compile(r"(?<![\w/])(?:contract|design|house)\.md\b|\bdesign: [A-Z]|\.\./shared")
OUTSIDE_ALLOWED = {
    "tests/support/files.py",
    ".ci/build-contract",
    "CONTRIBUTING.md",
    "tests/unit/test_references.py",
}
"""Files that may say where Klaviyo's OpenAPI files are looked for."""

SECTION = r"\d+(?:\.\d+)?"
DOCUMENT = re.compile(rf"docs/([\w-]+)\.md(?:#([\w-]+)| +({SECTION}(?:(?:, | and | to ){SECTION})*))?")
MODULE = re.compile(rf"`((?:askel_tui\.)?(?:{'|'.join(PACKAGES)})(?:\.\w+)+)(?:\(\))?`")
COMMENT = re.compile(r"(?:^|\s)# .*")
NAME = re.compile(r"`([A-Za-z]\w*(?:\.\w+)*)(?:\([^`]*\))?`")
PATH = re.compile(r"`((?:askel_tui|tests|docs|\.ci)/[\w./-]*\w)`")


@cache
def headings(document: str) -> tuple[frozenset[str], frozenset[str]]:
    """The numbers and the anchors of a document's headings."""
    lines = (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8").splitlines()
    titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    numbers = (re.match(SECTION, title) for title in titles)
    anchors = (re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)
    return frozenset(match.group() for match in numbers if match), frozenset(anchors)


@cache
def split_prose(path: Path) -> tuple[str, str]:
    """(what a file says to people, its code): docstrings and comments, and the rest; a document is all prose."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text, ""
    lines = text.split("\n")
    prose = []
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            prose.append(node.value.value)
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    code = "\n".join(lines)
    prose += COMMENT.findall(code)
    return " ".join(" ".join(prose).split()), COMMENT.sub("", code)


@cache
def names_in(module: Path) -> frozenset[str]:
    """The names that a module, or a package's `__init__`, gives."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return frozenset(names)


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a package, a module, or something in one."""
    parts = dotted.removeprefix("askel_tui.").split(".")
    at = ROOT / "askel_tui"
    while parts:
        part = parts.pop(0)
        if (at / part).is_dir():
            at = at / part
        elif (at / f"{part}.py").exists():
            return all(name in names_in(at / f"{part}.py") for name in parts)
        else:
            return part in names_in(at / "__init__.py")
    return True


def unresolved(text: str) -> Iterator[str]:
    """The references of a text that lead nowhere."""
    for match in DOCUMENT.finditer(text):
        document, anchor, sections = match.groups()
        if not (ROOT / "docs" / f"{document}.md").exists():
            yield match.group()
            continue
        numbers, anchors = headings(document)
        if anchor is not None and anchor not in anchors:
            yield match.group()
        yield from (
            f"docs/{document}.md {one}" for one in re.findall(SECTION, sections or "") if one not in numbers
        )
    yield from (name for name in MODULE.findall(text) if not resolves(name))
    yield from (path for path in PATH.findall(text) if not (ROOT / path).exists())


def test_every_reference_leads_somewhere() -> None:
    texts = {str(path.relative_to(ROOT)): split_prose(path)[0] for path in FILES}
    assert {name: found for name, text in texts.items() if (found := list(unresolved(text)))} == {}


def test_every_name_in_the_prose_of_the_package_is_one_of_its_code() -> None:
    """Names of things that were renamed or removed; a part in capitals stands for any name."""
    paths = [path for path in FILES if path.suffix == ".py"]
    known = {word for path in paths for word in re.findall(r"\w+", split_prose(path)[1])}
    known |= {path.stem for path in paths} | {path.parent.name for path in paths} | {"py"}
    strange: dict[str, list[str]] = {}
    for path in paths:
        if path.is_relative_to(ROOT / "askel_tui"):
            for name in NAME.findall(split_prose(path)[0]):
                if not all(part in known or re.search("[A-Z]{4}", part) for part in name.split(".")):
                    strange.setdefault(str(path.relative_to(ROOT)), []).append(name)
    assert strange == {}


def test_no_reference_leads_outside() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
    assert [
        name for name, text in texts.items() if OUTSIDE.search(text) and name not in OUTSIDE_ALLOWED
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "docs/klaviyo.md 99",
        "docs/klaviyo.md 2.6, 2.99",
        "docs/klaviyo.md#no-such-heading",
        "docs/no-such-document.md",
        "`core.no_such_module`",
        "`askel_tui.core.operations.no_such_name`",
        "`askel_tui/core/no_such_file.py`",
    ],
)
def test_a_reference_to_nothing_is_found(text: str) -> None:
    assert list(unresolved(text))
