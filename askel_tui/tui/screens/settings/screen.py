"""Settings: themes, clipboard, keys, notices, what is kept; and what is wrong with the user's own files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.core.problems import Problem
from askel_tui.text.cells import truncate
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.preferences import config, themes
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.connections.scopes_view import notice_channel_kinds
from askel_tui.tui.screens.settings import keymap
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Column, Row, Table
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.services.settings import Setting
    from askel_tui.store.state.documents import ConnectionDoc

CLIPBOARD_MODES = {
    "auto": "a clipboard tool, else the terminal",
    "native": "wl-copy, xclip, xsel, pbcopy",
    "osc52": "the terminal (SSH, tmux)",
}


RESET_WORD = "default"
"""What is typed to take a setting back."""


class SettingsScreen(AskelScreen):
    """What can be set, where it is written, and what of it is wrong."""

    NAME = "settings"
    CSS_PATH = "settings.tcss"
    HELP = (
        "Themes are shown while you choose: Enter keeps one, Esc takes the one before back. Keys are set in "
        "keymap.yaml, a line each: `overview.pause: ctrl+p`; / searches them, y copies an id. r reads the files again."
    )
    HAS_FILTER = True
    RELOADS_ON_COMMIT = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding(
            "r", "read", "Read files again", id="settings.read", tooltip="config.yaml, keymap.yaml, themes"
        ),
        Binding("y", "copy", "Copy id", id="settings.copy", tooltip="Of the key under the cursor"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[keymap.Key] = []
        self._chosen_theme = ""
        self._config_directory = Path()
        self._themes_ready = False
        self._settings: list[tuple[Setting, Any, bool]] = []

    def body(self) -> ComposeResult:
        """Problems first; then what is chosen here, and the keys."""
        with VerticalScroll(id="settings", can_focus=False):
            yield Static(id="problems", classes="panel")
            with Horizontal(id="columns"):
                with Vertical(id="left"):
                    yield Table(
                        (Column("theme", 18, 2), Column("", 6), Column("", 12, 1)),
                        id="themes",
                        classes="panel",
                        title="Themes",
                        hint="Enter keeps · Esc takes back",
                        jump_key="t",
                        about=Help(
                            "Themes",
                            "Shown while you choose; Enter keeps it. Your own: YAML files in themes/.",
                        ),
                    )
                    yield Table(
                        (Column("clipboard", 9), Column("", 24, 1)),
                        id="clipboard",
                        classes="panel",
                        title="Copying goes through",
                        hint="Enter chooses",
                        jump_key="c",
                        about=Help("Clipboard", "Enter writes the choice into config.yaml."),
                    )
                    yield Static(id="notices", classes="panel")
                    yield Table(
                        (Column("setting", 14), Column("is", 10, 1), Column("means", 14, 3)),
                        id="instance",
                        classes="panel",
                        title="This instance",
                        hint="Enter changes",
                        jump_key="i",
                        about=Help(
                            "This instance",
                            "What is kept and for how long, when a failing step is held, where all notices go. A "
                            "running daemon goes by a change at once.",
                        ),
                    )
                with Vertical(id="right"):
                    yield Table(
                        (Column("id", 20, 1), Column("keys", 12), Column("does", 14, 4), Column("", 10, 2)),
                        id="keys",
                        classes="panel",
                        title="Keys",
                        hint="/ searches · y copies the id · set in keymap.yaml",
                        jump_key="k",
                        about=Help(
                            "Keys", "Write `id: keys` into keymap.yaml. What is said twice is marked with !."
                        ),
                    )

    def on_mount(self) -> None:
        """Titles; what is used now."""
        self._chosen_theme = self.app.theme
        self.query_one("#problems").border_title = "Your files"
        self.query_one("#notices").border_title = "Notices"
        self._show_themes()
        self._show_clipboard()
        self.query_one("#themes").focus()

    async def load(self) -> None:
        """Reads the user's files, the keys, and what is on the disk."""
        self._config_directory = self.askel.appearance.directory
        found = await asyncio.to_thread(config.load_config, self._config_directory)
        self._keys = await asyncio.to_thread(keymap.all_keys, found.keymap)
        wrong = await asyncio.to_thread(self._find_problems, found, self._keys)
        self.askel.appearance.config = found
        self._show_problems(wrong)
        self._show_themes()
        self._themes_ready = True
        self._show_clipboard()
        self._show_keys()
        self.query_one("#notices", Static).update(
            _notice_channels_content(await self.backend.call(queries.connections))
        )
        self._settings = await self.backend.call(queries.known_settings)
        table = self.query_one("#instance", Table)
        table.set_rows([self._setting_row(*each) for each in self._settings])
        home = await self.backend.call(queries.home)
        size = await asyncio.to_thread(_home_bytes, home)
        table.border_title = f"This instance: {size / 1_000_000:,.1f} MB in {truncate(str(home), 40)}"

    @staticmethod
    def _setting_row(one: Setting, value: Any, made: bool) -> Row:
        said = "–" if value is None else one.format(value)
        return one.name, (one.name, (said, "bold") if made else said, one.description)

    def _find_problems(self, found: config.Config, keys: Sequence[keymap.Key]) -> list[Problem]:
        _, of_themes = themes.load_themes(self._config_directory / "themes")
        return [
            *found.problems,
            *of_themes,
            *keymap.find_unknown_ids(found.keymap, keys, str(self._config_directory / "keymap.yaml")),
        ]

    # What is shown.

    def _show_problems(self, problems: Sequence[Problem]) -> None:
        panel = self.query_one("#problems", Static)
        panel.display = bool(problems)
        panel.border_title = f"Your files: {pluralize(len(problems), 'problem')}"
        panel.update(Content("\n").join([Content(f"! {sanitize(str(problem))}") for problem in problems]))

    def _show_themes(self) -> None:
        table = self.query_one("#themes", Table)
        ours = {file.stem for file in themes.builtin_directory().glob("*.yaml")}
        names = sorted(self.app.available_themes, key=lambda name: (name not in ours, name))
        table.set_rows([self._theme_row(name, name in ours) for name in names])
        table.move_cursor_to_key(self.app.theme)

    def _theme_row(self, name: str, ours: bool) -> Row:
        theme = self.app.available_themes[name]
        here = ("● in use", "$success") if name == self._chosen_theme else "Askel's" if ours else ""
        return name, (name, "dark" if theme.dark else "light", here)

    def _show_clipboard(self) -> None:
        mode = self.askel.appearance.config.clipboard
        rows: list[Row] = [
            (name, ((f"● {name}", "$success") if name == mode else f"○ {name}", words))
            for name, words in CLIPBOARD_MODES.items()
        ]
        self.query_one("#clipboard", Table).set_rows(rows)

    def _show_keys(self) -> None:
        clashing = keymap.find_clashes(self._keys)
        shown = [
            key
            for key in self._keys
            if self.current_filter.matches(f"{key.id} {' '.join(key.keys)} {key.description}")
        ]
        table = self.query_one("#keys", Table)
        table.set_rows([self._key_row(key, clashing.get(key.id)) for key in shown])
        said = f", {pluralize(len(clashing), 'clash', 'clashes')}" if clashing else ""
        table.border_title = f"{pluralize(len(shown), 'key')}{said}"
        self.query_one(FilterBar).show_count(f"{len(shown):,} of {len(self._keys):,} keys")

    def _key_row(self, key: keymap.Key, clash: str | None) -> Row:
        keys = " ".join(self.app.get_key_display(Binding(each, "")) for each in key.keys)
        note = (f"! {clash}", "$warning") if clash else ("yours", "$accent") if key.is_custom else ""
        return key.id, (key.id, (keys, "bold"), key.description, note)

    def apply_filter(self, wanted: Filter) -> None:
        """Searches the keys."""
        self._show_keys()

    # Choosing.

    def on_data_table_row_highlighted(self, event: Table.RowHighlighted) -> None:
        """A theme is shown as soon as the cursor is on it."""
        table = event.data_table
        if not isinstance(table, Table) or table.id != "themes":
            return
        # Until the cursor was put on the present theme, nobody has moved it.
        if self._themes_ready and table.has_focus and table.cursor_key is not None:
            self.app.theme = table.cursor_key

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Keeps a theme, or chooses how copying works."""
        table = event.data_table
        if not isinstance(table, Table) or table.cursor_key is None:
            return
        if table.id == "themes":
            self._chosen_theme = self.app.theme = table.cursor_key
            self._show_themes()
            self.toasts.show(f"The theme is {table.cursor_key} from now on.")
        elif table.id == "clipboard":
            self.start_work(
                partial(self._choose_clipboard, table.cursor_key), group="clipboard", exclusive=True
            )
        elif table.id == "instance":
            self.start_work(
                partial(self._change_setting, table.cursor_key),
                group="setting",
                exclusive=True,
                asks_question=True,
            )

    def on_descendant_blur(self) -> None:
        """Leaving the list of themes without choosing takes the one before back."""
        self.call_later(self._restore_theme)

    def on_screen_suspend(self) -> None:
        """So does leaving the screen."""
        self._restore_theme(leaving=True)

    def _restore_theme(self, leaving: bool = False) -> bool:
        if not self._chosen_theme or self.app.theme == self._chosen_theme:
            return False
        if not leaving and (self.query_one("#themes").has_focus or not self.is_current):
            return False
        self.app.theme = self._chosen_theme
        self.query_one("#themes", Table).move_cursor_to_key(self._chosen_theme)
        return True

    def go_back(self) -> bool:
        """The theme before."""
        return self._restore_theme(leaving=True)

    async def _choose_clipboard(self, mode: str) -> None:
        await self.backend.call(services.save_config, self._config_directory, "clipboard", mode)
        await self.load()
        self.toasts.show(f"Copying goes through {CLIPBOARD_MODES[mode]}.")

    async def _change_setting(self, name: str) -> None:
        one, value, made = next(each for each in self._settings if each[0].name == name)
        default = "–" if one.default is None else one.format(one.default)
        # Addresses for notices may hold tokens: they are typed anew, and masked.
        secret = isinstance(one.default, list)
        shown = "" if secret or value is None or not made else one.format(value).replace(",", "")
        typed = await self.ask(
            TextPrompt(
                f"{name}: {one.description}",
                f"{RESET_WORD} is {default or 'none'}." + (" Blanks between addresses." if secret else ""),
                value=shown,
                placeholder=RESET_WORD,
                secret=secret,
            )
        )
        if typed is None:
            return
        words = None if typed == RESET_WORD else typed.split()
        await self.backend.call(services.change_setting, name, words, self.backend.actor)
        await self.load()
        self.toasts.show(f"{name} holds from now on, for a running daemon too.")

    def action_read(self) -> None:
        """Reads the files again."""
        self.start_work(self._read_files, group="read", exclusive=True)

    async def _read_files(self) -> None:
        await self.askel.appearance.reload_user_files()
        await self.load()
        self.toasts.show("config.yaml, keymap.yaml and themes were read again.")

    def action_copy(self) -> None:
        """Copies the id of the key under the cursor."""
        key = self.query_one("#keys", Table).cursor_key
        if key is not None:
            copy(self, key, "the id")


def _notice_channels_content(docs: Sequence[ConnectionDoc]) -> Content:
    """Where each connection's notices go; addresses may hold tokens, so only their kinds are named."""
    lines = [
        f"{sanitize(doc.name)}: {notice_channel_kinds(doc.notify) or 'on Overview only'}" for doc in docs
    ]
    return Content("\n".join([*lines, "Of one connection: Connections (2), e. Of all: notify, below."]))


def _home_bytes(home: Path) -> int:
    total = 0
    for file in home.iterdir():
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total
