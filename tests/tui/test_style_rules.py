"""Style sheets name widgets by their class: a class that gets another name must not leave its rules behind."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import textual

from tests.support.files import ROOT

CONSOLE = ROOT / "askel_tui" / "tui"
_SHEET = re.compile(r'\b(?:DEFAULT_)?CSS\b[^=\n]*= f?"""(.*?)"""', re.DOTALL)
_REMARK = re.compile(r"/\*.*?\*/", re.DOTALL)
_TYPE = re.compile(r"(?<![\w$#.\-])([A-Z][A-Za-z]+)(?=[^;{}]*\{)")


def _classes(folder: Path) -> set[str]:
    trees = (ast.parse(file.read_text("utf-8")) for file in folder.rglob("*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def test_every_type_in_a_style_sheet_is_a_class() -> None:
    known = _classes(CONSOLE) | _classes(Path(textual.__file__).parent)
    sheets = [(file, file.read_text("utf-8")) for file in CONSOLE.rglob("*.tcss")]
    for file in CONSOLE.rglob("*.py"):
        sheets += [(file, sheet) for sheet in _SHEET.findall(file.read_text("utf-8"))]
    named = {(file.name, kind) for file, sheet in sheets for kind in _TYPE.findall(_REMARK.sub("", sheet))}
    assert len(named) > 20
    assert {(file, kind) for file, kind in named if kind not in known} == set()
