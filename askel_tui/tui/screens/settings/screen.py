"""Settings: themes, clipboard, keys, notices, the instance's settings, and the errors in the user's own files."""

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
from askel_tui.tui.screens.settings import keymap, view
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.rows import Row
from askel_tui.tui.widgets.table import Table
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.services.settings import Setting

RESET_WORD = "default"
"""The word to type to reset a setting."""


class SettingsScreen(AskelScreen):
    """The panels of problems, themes, clipboard, notices, settings and keys."""

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
        """Composes the problems first, then what is chosen here, and the keys."""
        with VerticalScroll(id="settings", can_focus=False):
            yield Static(id="problems", classes="panel")
            with Horizontal(id="columns"):
                with Vertical(id="left"):
                    yield Table(
                        view.THEME_COLUMNS,
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
                        view.CLIPBOARD_COLUMNS,
                        id="clipboard",
                        classes="panel",
                        title="Copying goes through",
                        hint="Enter chooses",
                        jump_key="c",
                        about=Help("Clipboard", "Enter writes the choice into config.yaml."),
                    )
                    yield Static(id="notices", classes="panel")
                    yield Table(
                        view.SETTING_COLUMNS,
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
                        view.KEY_COLUMNS,
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
        """Sets titles, and shows the theme and the clipboard that are in use."""
        self._chosen_theme = self.app.theme
        self.query_one("#problems").border_title = "Your files"
        self.query_one("#notices").border_title = "Notices"
        self._show_themes()
        self._show_clipboard()
        self.query_one("#themes").focus()

    async def load(self) -> None:
        """Reads the user's files, the keys, the settings, and the size of the home."""
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
            view.notice_channels_content(await self.backend.call(queries.connections))
        )
        self._settings = await self.backend.call(queries.known_settings)
        table = self.query_one("#instance", Table)
        table.set_rows([view.setting_row(*each) for each in self._settings])
        home = await self.backend.call(queries.home)
        size = await asyncio.to_thread(view.home_bytes, home)
        table.border_title = f"This instance: {size / 1_000_000:,.1f} MB in {truncate(str(home), 40)}"

    def _find_problems(self, found: config.Config, keys: Sequence[keymap.Key]) -> list[Problem]:
        _, of_themes = themes.load_themes(self._config_directory / "themes")
        return [
            *found.problems,
            *of_themes,
            *keymap.find_unknown_ids(found.keymap, keys, str(self._config_directory / "keymap.yaml")),
        ]

    def _show_problems(self, problems: Sequence[Problem]) -> None:
        panel = self.query_one("#problems", Static)
        panel.display = bool(problems)
        panel.border_title = f"Your files: {pluralize(len(problems), 'problem')}"
        panel.update(Content("\n").join([Content(f"! {sanitize(str(problem))}") for problem in problems]))

    def _show_themes(self) -> None:
        table = self.query_one("#themes", Table)
        ours = {file.stem for file in themes.builtin_directory().glob("*.yaml")}
        names = sorted(self.app.available_themes, key=lambda name: (name not in ours, name))
        rows = [
            view.theme_row(
                name,
                self.app.available_themes[name],
                in_use=name == self._chosen_theme,
                is_builtin=name in ours,
            )
            for name in names
        ]
        table.set_rows(rows)
        table.move_cursor_to_key(self.app.theme)

    def _show_clipboard(self) -> None:
        rows = view.clipboard_rows(self.askel.appearance.config.clipboard)
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
        clashes = f", {pluralize(len(clashing), 'clash', 'clashes')}" if clashing else ""
        table.border_title = f"{pluralize(len(shown), 'key')}{clashes}"
        self.query_one(FilterBar).show_count(f"{len(shown):,} of {len(self._keys):,} keys")

    def _key_row(self, key: keymap.Key, clash: str | None) -> Row:
        return view.key_row(key, [self.app.get_key_display(Binding(each, "")) for each in key.keys], clash)

    def apply_filter(self, wanted: Filter) -> None:
        """Shows the keys that match the filter."""
        self._show_keys()

    def on_data_table_row_highlighted(self, event: Table.RowHighlighted) -> None:
        """Shows a theme as soon as the cursor is on it."""
        table = event.data_table
        if not isinstance(table, Table) or table.id != "themes":
            return
        # Until the cursor was put on the present theme, nobody has moved it.
        if self._themes_ready and table.has_focus and table.cursor_key is not None:
            self.app.theme = table.cursor_key

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Keeps a theme, chooses how copying works, or changes a setting."""
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
        """Restores the chosen theme where the list of themes is left without a choice."""
        self.call_later(self._restore_theme)

    def on_screen_suspend(self) -> None:
        """Restores the chosen theme where the screen is left."""
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
        """Restores the chosen theme."""
        return self._restore_theme(leaving=True)

    async def _choose_clipboard(self, mode: str) -> None:
        await self.backend.call(services.save_config, self._config_directory, "clipboard", mode)
        await self.load()
        self.toasts.show(f"Copying goes through {view.CLIPBOARD_MODES[mode]}.")

    async def _change_setting(self, name: str) -> None:
        setting, value, is_changed = next(each for each in self._settings if each[0].name == name)
        # Addresses for notices may hold tokens: they are typed anew, and masked.
        secret = isinstance(setting.default, list)
        shown = "" if secret or value is None or not is_changed else setting.format(value).replace(",", "")
        default = setting.format(setting.default) or "none"
        typed = await self.ask(
            TextPrompt(
                f"{name}: {setting.description}",
                f"{RESET_WORD} is {default}." + (" Blanks between addresses." if secret else ""),
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
