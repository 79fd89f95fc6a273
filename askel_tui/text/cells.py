"""Widths in terminal cells: measuring, cutting and padding text as a terminal, and Textual, count it."""

from __future__ import annotations

from askel_tui.text.sanitizing import sanitize
from askel_tui.text.shortening import ELLIPSIS


def cell_width(text: str) -> int:
    """Returns the number of terminal cells that a text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    # Imported only for text that is not ASCII: the import takes 13 ms, which most commands can save.
    from rich.cells import cell_len

    return cell_len(text)


def truncate(text: str, cells: int) -> str:
    """Cuts a text to harmless text of at most `cells` cells, with an ellipsis."""
    if cells <= 0:
        return ""
    shown = sanitize(text, max(cells * 4, 64))
    if cell_width(shown) <= cells:
        return shown
    return _resize(shown, cells - 1).rstrip() + ELLIPSIS


def pad(text: str, cells: int, *, align_right: bool = False) -> str:
    """Cuts or fills a text to harmless text of exactly `cells` cells."""
    if len(text) <= cells and text.isascii() and text.isprintable():
        return text.rjust(cells) if align_right else text.ljust(cells)
    shown = truncate(text, cells)
    blanks = " " * (max(cells, 0) - cell_width(shown))
    return blanks + shown if align_right else shown + blanks


def _resize(text: str, cells: int) -> str:
    """Cuts or fills a text to `cells` cells; half of a wide character becomes a blank."""
    if text.isascii():
        return text[:cells].ljust(cells)
    from rich.cells import set_cell_size

    return set_cell_size(text, cells)
