"""The console's appearance and keys: the user's themes, keymap and settings, read again when they are saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.app import App
from textual.binding import Binding

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.tui.backend import describe_error
from askel_tui.tui.preferences import config, themes
from askel_tui.tui.shell.textual_internals import reread_theme
from askel_tui.tui.shell.timing import Timing
from askel_tui.tui.shell.toasts import Toasts

FileVersions = frozenset[tuple[str, int, int]]
"""The user's files: path, time of the last change in nanoseconds, and size in bytes of each."""


class Appearance:
    """Applies the user's files to an app, and reports what is wrong with them as toasts."""

    def __init__(
        self, app: App[Any], toasts: Toasts, directory: Path, last_theme: Any, timing: Timing
    ) -> None:
        self._app, self._toasts, self._timing = app, toasts, timing
        self.directory = directory
        """The directory of the user's files: `config.yaml`, `keymap.yaml`, `themes/`."""
        self.config = config.load_config(directory)
        self._file_versions: FileVersions = frozenset()
        self._reported_clashes: set[str] = set()
        self._problems: list[Problem] = list(self.config.problems)
        self._load_first_theme(last_theme)
        app.set_keymap(dict(self.config.keymap))

    # Themes.

    def _load_first_theme(self, last_theme: Any) -> None:
        """Loads the theme that the first paint needs; the others come later."""
        app, wanted = self._app, str(last_theme or self.config.theme or themes.DEFAULT_THEME)
        for directory in self._theme_directories():
            for theme in themes.load_themes(directory, only=wanted)[0]:
                app.register_theme(theme)
        if wanted not in app.available_themes:
            self._load_other_themes()
        if wanted not in app.available_themes:
            guess = did_you_mean(wanted, app.available_themes)
            self._problems.append(Problem(f"no theme is called {wanted!r}", "theme", suggestion=guess))
            wanted = themes.DEFAULT_THEME if themes.DEFAULT_THEME in app.available_themes else "textual-dark"
        app.theme = wanted

    def _load_other_themes(self) -> list[Problem]:
        problems: list[Problem] = []
        for directory in self._theme_directories():
            found, wrong = themes.load_themes(directory)
            problems += wrong
            for theme in found:
                if theme.name not in self._app.available_themes:
                    self._app.register_theme(theme)
        return problems

    def _theme_directories(self) -> tuple[Path, Path]:
        return themes.builtin_directory(), self.directory / "themes"

    # The user's files.

    async def reload_user_files(self) -> list[Problem]:
        """Reads config.yaml, keymap.yaml and the user's themes again. Returns the problems in them."""
        self._file_versions = await asyncio.to_thread(file_versions, self.directory)
        self.config = await asyncio.to_thread(config.load_config, self.directory)
        found, problems = await asyncio.to_thread(themes.load_themes, self.directory / "themes")
        for theme in found:
            self._app.register_theme(theme)
        if self._app.theme in {theme.name for theme in found}:
            reread_theme(self._app)
        self._app.set_keymap(dict(self.config.keymap))
        return [*self.config.problems, *problems]

    def watch_user_files(self) -> None:
        """Reads the themes that the first paint did not need, reports problems, and polls the files from now on."""
        self._report([*self._problems, *self._load_other_themes()])
        self._check_keymap()
        self._file_versions = file_versions(self.directory)
        self._poll_later()

    def _poll_later(self) -> None:
        # The next check begins when this one is done: a slow disk must not pile them up.
        self._app.set_timer(self._timing.user_files_poll_s, self._poll)

    async def _poll(self) -> None:
        try:
            await self._reload_changed_files()
        except Exception as error:
            self._app.log.error(describe_error(error))
        self._poll_later()

    async def _reload_changed_files(self) -> None:
        """Applies files that were saved, and reports the problems in them."""
        now = await asyncio.to_thread(file_versions, self.directory)
        before, self._file_versions = self._file_versions, now
        if before == now:
            return
        config_before = self.config
        changed = {name for name, *_ in before ^ now}
        problems = [problem for problem in await self.reload_user_files() if problem.file in changed]
        self._report(problems)
        self._check_keymap()
        good = sorted(Path(name).name for name in changed - {problem.file for problem in problems})
        # Changes that the Settings screen wrote itself need no message.
        if good and (good != ["config.yaml"] or self.config != config_before):
            self._toasts.show(f"{', '.join(good)}: read again.", title="Your settings")

    def _report(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self._toasts.show(str(problem), title="Your settings", severity="warning", timeout=12)

    # Keys.

    def _check_keymap(self) -> None:
        """Reports keys of the user's keymap that two actions of one scope ask for."""
        owners: dict[str, str] = {}
        for name, keys in self.config.keymap.items():
            for key in keys.split(","):
                other = owners.setdefault(key.strip(), name)
                if other != name and other.partition(".")[0] == name.partition(".")[0]:
                    self._warn(
                        f"{key.strip()} is asked for {other} and for {name}: only one of them gets it."
                    )

    def report_clashes(self, bindings: Iterable[Binding]) -> None:
        """Reports, once each, bindings whose key the user's keymap gave to something else."""
        for binding in bindings:
            name = binding.id or binding.action
            if name not in self._reported_clashes:
                self._reported_clashes.add(name)
                self._warn(
                    f"{binding.key} belonged to {name} ({binding.description}), which lost it to your keymap."
                )

    def _warn(self, message: str) -> None:
        self._toasts.show(message, title="Your keymap", severity="warning", timeout=12)


def file_versions(directory: Path) -> FileVersions:
    """Reads the versions of the user's files that exist."""
    found = set()
    for file in (
        directory / "config.yaml",
        directory / "keymap.yaml",
        *(directory / "themes").glob("*.yaml"),
    ):
        try:
            known = file.stat()
        except OSError:
            continue
        found.add((str(file), known.st_mtime_ns, known.st_size))
    return frozenset(found)
