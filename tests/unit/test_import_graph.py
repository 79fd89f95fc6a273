"""No module-level imports in a circle, `TYPE_CHECKING` ones included; each package says what it is for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.files import ROOT

PACKAGE = ROOT / "askel_tui"

KNOWN_CIRCLES = [[f"askel_tui.tui.screens.mapping.{name}" for name in ("editing", "saving", "screen")]]
"""Circles that are still to be mended."""

MAX_FILES = 18
KNOWN_CROWDS = ["askel_tui/tui/screens/live: tail"]
"""Folders that are still to be mended."""


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_level_imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each import outside of functions; the name is empty for `import module`."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.ImportFrom):
                yield from ((node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                pending.append(node)


def import_graph() -> dict[str, set[str]]:
    """The modules that each module of the package imports at module level."""
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        imported = {
            f"{source}.{name}" if f"{source}.{name}" in paths else source
            for source, name in module_level_imports(path)
        }
        graph[module] = (imported & paths.keys()) - {module}
    return graph


def find_circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for imported in sorted(graph[module]):
            if imported not in index:
                visit(imported)
            if imported in stack:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                circles.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return circles


def test_no_modules_import_each_other_in_a_circle() -> None:
    circles = find_circles(import_graph())
    assert [circle for circle in circles if circle not in KNOWN_CIRCLES] == []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}
    assert find_circles(graph) == [["a", "b", "c"]]


def test_a_folder_is_small_and_a_prefix_is_no_folder() -> None:
    """At most 18 files; where more than two share the first word of their names, that word is a folder."""
    crowded = []
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        names = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
        prefixes = Counter(name.partition("_")[0] for name in names)
        crowded += [f"{folder.relative_to(ROOT)}: {len(names)} files"] if len(names) > MAX_FILES else []
        crowded += [
            f"{folder.relative_to(ROOT)}: {prefix}" for prefix, count in prefixes.items() if count > 2
        ]
    assert [line for line in crowded if line not in KNOWN_CROWDS] == []


def test_each_package_says_what_it_is_for() -> None:
    packages = {path.parent for path in PACKAGE.rglob("*.py")}
    silent = [
        str(package.relative_to(ROOT))
        for package in sorted(packages)
        if not (package / "__init__.py").is_file()
        or not ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
    ]
    assert silent == []
