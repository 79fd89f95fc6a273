"""The program of docs/audit.md that verifies an export, taken from the page itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.support.files import ROOT


def documented_verifier() -> Callable[[Iterable[str]], Iterator[str]]:
    """Gives the page's `verify`, which knows nothing of this program."""
    page = (ROOT / "docs" / "audit.md").read_text()
    (code,) = (block.partition("```")[0] for block in page.split("```python\n")[1:])
    names: dict[str, Any] = {"__name__": "verifier"}
    exec(compile(code, "docs/audit.md", "exec"), names)
    found: Callable[[Iterable[str]], Iterator[str]] = names["verify"]
    return found
