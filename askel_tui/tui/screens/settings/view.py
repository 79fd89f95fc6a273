"""Rows and texts of Settings. Pure, but for the sum of file sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.content import Content

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.settings.keymap import Key
from askel_tui.tui.text.notice_addresses import notice_channel_kinds
from askel_tui.tui.widgets.rows import Row
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from textual.theme import Theme

    from askel_tui.services.settings import Setting
    from askel_tui.store.state.documents import ConnectionDoc

THEME_COLUMNS = (Column("theme", 18, 2), Column("", 6), Column("", 12, 1))
CLIPBOARD_COLUMNS = (Column("clipboard", 9), Column("", 24, 1))
SETTING_COLUMNS = (Column("setting", 14), Column("is", 10, 1), Column("means", 14, 3))
KEY_COLUMNS = (Column("id", 20, 1), Column("keys", 12), Column("does", 14, 4), Column("", 10, 2))

CLIPBOARD_MODES = {
    "auto": "a clipboard tool, else the terminal",
    "native": "wl-copy, xclip, xsel, pbcopy",
    "osc52": "the terminal (SSH, tmux)",
}


def theme_row(name: str, theme: Theme, *, in_use: bool, is_builtin: bool) -> Row:
    """Makes the row of a theme."""
    note = ("● in use", "$success") if in_use else "Askel's" if is_builtin else ""
    return name, (name, "dark" if theme.dark else "light", note)


def clipboard_rows(mode: str) -> list[Row]:
    """Makes the rows of the ways to copy; `mode` is the one in use."""
    return [
        (name, ((f"● {name}", "$success") if name == mode else f"○ {name}", words))
        for name, words in CLIPBOARD_MODES.items()
    ]


def setting_row(setting: Setting, value: Any, is_changed: bool) -> Row:
    """Makes the row of a setting; a value that was changed stands out."""
    text = setting.format(value)
    return setting.name, (setting.name, (text, "bold") if is_changed else text, setting.description)


def key_row(key: Key, shown_keys: Sequence[str], clash: str | None) -> Row:
    """Makes the row of a key binding; `shown_keys` are the names of its keys, `clash` names their other actions."""
    note = (f"! {clash}", "$warning") if clash else ("yours", "$accent") if key.is_custom else ""
    return key.id, (key.id, (" ".join(shown_keys), "bold"), key.description, note)


def notice_channels_content(docs: Sequence[ConnectionDoc]) -> Content:
    """Composes the kinds of addresses that each connection's notices go to; the addresses may hold tokens."""
    lines = [
        f"{sanitize(doc.name)}: {notice_channel_kinds(doc.notify) or 'on Overview only'}" for doc in docs
    ]
    return Content("\n".join([*lines, "Of one connection: Connections (2), e. Of all: notify, below."]))


def home_bytes(home: Path) -> int:
    """Sums the sizes of all files that lie directly in the home."""
    total = 0
    for file in home.iterdir():
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total
