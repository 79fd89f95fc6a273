"""Names that try to do something, and what a screen that shows them has to look like."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

NAMES = (
    "[bold red]Rob[/] [@click=app.quit]x[/]",
    "\x1b[2J\x1b]0;owned\x07 beep",
    "right \u202etxet\u202c left",
    "nul\x00 and \u200bhidden",
    "climb" + "\u0301" * 400,
    "漢字 👩\u200d👩\u200d👧 wide",
    '=HYPERLINK("http://x")',
    "x" * 200_000,
    "[/] $error {0} \\[",
)


def assert_inert(shown: str, width: int) -> None:
    """Nothing on the screen acts on a terminal, and no line is wider than it."""
    for line in shown.split("\n"):
        bad = [char for char in line if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        assert not bad, f"{bad!r} in {line!r}"
        assert cell_len(line) <= width, line
