"""The tree of the package: folders that one can overlook, and names that are no hidden folders."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.support.files import ROOT

PACKAGE = ROOT / "askel_tui"
MAX_FILES = 18
MAX_LINES = 400
MAX_SAME_PREFIX = 2

FOLDERS = sorted({file.parent for file in PACKAGE.rglob("*.py")})


def _modules(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.py") if not file.stem.startswith("__")]


def test_the_package_has_folders() -> None:
    """The tests below would pass over nothing."""
    assert len(FOLDERS) > 30
    assert sum(len(_modules(folder)) for folder in FOLDERS) > 250


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_can_be_overlooked(folder: Path) -> None:
    """At most 18 files, and no prefix shared by more than two: the prefix would be the missing folder."""
    modules = _modules(folder)
    assert len(modules) <= MAX_FILES, [file.name for file in modules]
    prefixes = Counter(file.stem.partition("_")[0] for file in modules)
    assert not [prefix for prefix, count in prefixes.items() if count > MAX_SAME_PREFIX]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_package_says_what_it_is_for_and_what_may_not_enter(folder: Path) -> None:
    """Two sentences at least, in its `__init__.py`."""
    init = folder / "__init__.py"
    assert init.exists(), "this folder is no package"
    words = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    assert words.count(".") >= 2, f"{init.relative_to(ROOT)}: say what the room is for and what may not enter"


def test_a_file_can_be_held_in_the_head() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}
    assert not {str(file.relative_to(ROOT)): length for file, length in lengths.items() if length > MAX_LINES}
