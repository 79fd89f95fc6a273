"""How the console looks and what it says: the user's themes, keymap and settings, read again when they are saved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.preferences import config, themes

if TYPE_CHECKING:
    from textual.dom import DOMNode

LOOK_S = 2.0
"""How often it is looked whether one of the user's files was saved, in seconds."""

FileVersions = frozenset[tuple[str, int, int]]
"""The user's files, each with when it was changed and how long it is."""


class Looks(App[None]):
    """The part of the app that has to do with the user's own files, and with toasts."""

    backend: Backend

    def __init__(self, home: Path | None, kept_theme: Any) -> None:
        self.config = config.load_config(home)
        self._home = home
        self._file_versions: FileVersions = frozenset()
        self._reported_clashes: set[str] = set()
        self._problems: list[Problem] = list(self.config.problems)
        super().__init__()
        self._load_first_theme(kept_theme)
        self.set_keymap(dict(self.config.keymap))

    # Telling.

    def show_toast(
        self, message: str, *, title: str = "", severity: Any = "information", timeout: float | None = None
    ) -> None:
        """A toast; the text is shown as it is, inert, never read as markup."""
        lines = "\n".join(sanitize(line) for line in message.split("\n"))
        self.notify(lines, title=sanitize(title), severity=severity, timeout=timeout, markup=False)

    def show_error(self, error: BaseException, title: str = "") -> None:
        """A toast for what went wrong; the app goes on."""
        self.log.error(repr(error))
        self.show_toast(
            describe_error(error), title=title or "That did not work", severity="error", timeout=12
        )

    # Themes and keys.

    def _load_first_theme(self, kept: Any) -> None:
        """The theme that the first paint needs; the others come later."""
        wanted = str(kept or self.config.theme or themes.DEFAULT_THEME)
        for directory in self._theme_directories():
            for theme in themes.load_themes(directory, only=wanted)[0]:
                self.register_theme(theme)
        if wanted not in self.available_themes:
            self._load_other_themes()
        if wanted not in self.available_themes:
            guess = did_you_mean(wanted, self.available_themes)
            self._problems.append(Problem(f"no theme is called {wanted!r}", "theme", suggestion=guess))
            wanted = themes.DEFAULT_THEME if themes.DEFAULT_THEME in self.available_themes else "textual-dark"
        self.theme = wanted

    def _load_other_themes(self) -> list[Problem]:
        problems: list[Problem] = []
        for directory in self._theme_directories():
            found, wrong = themes.load_themes(directory)
            problems += wrong
            for theme in found:
                if theme.name not in self.available_themes:
                    self.register_theme(theme)
        return problems

    def _theme_directories(self) -> tuple[Path, Path]:
        return themes.builtin_directory(), (self._home or config.config_directory()) / "themes"

    async def reload_user_files(self) -> list[Problem]:
        """Reads config.yaml, keymap.yaml and the user's themes again. Gives what is wrong with them."""
        directory = self.backend.config_directory
        self._file_versions = await asyncio.to_thread(file_versions, directory)
        self.config = await asyncio.to_thread(config.load_config, directory)
        found, problems = await asyncio.to_thread(themes.load_themes, directory / "themes")
        for theme in found:
            self.register_theme(theme)
        if self.theme in {theme.name for theme in found}:
            self._invalidate_css()
            self.refresh_css(animate=False)
        self.set_keymap(dict(self.config.keymap))
        return [*self.config.problems, *problems]

    def watch_user_files(self) -> None:
        """Reads the themes that the first paint did not need, says what is wrong, and looks for changes from now on."""
        for problem in (*self._problems, *self._load_other_themes()):
            self._show_problem(problem)
        self._check_keymap()
        self._file_versions = file_versions(self.backend.config_directory)
        self._poll_later()

    def _poll_later(self) -> None:
        # The next look begins when this one is done: a slow disk must not pile them up.
        self.set_timer(LOOK_S, self._poll)

    async def _poll(self) -> None:
        try:
            await self._reload_changed_files()
        except Exception as error:
            self.log.error(describe_error(error))
        self._poll_later()

    async def _reload_changed_files(self) -> None:
        """A file that was saved counts at once; what is wrong with it is said."""
        directory = self.backend.config_directory
        now = await asyncio.to_thread(file_versions, directory)
        before, self._file_versions = self._file_versions, now
        if before == now:
            return
        config_before = self.config
        changed = {name for name, *_ in before ^ now}
        wrong = {problem.file for problem in await self._reload_and_report(changed)}
        self._check_keymap()
        good = sorted(Path(name).name for name in changed - wrong)
        # What Settings wrote itself needs no word.
        if good and (good != ["config.yaml"] or self.config != config_before):
            self.show_toast(f"{', '.join(good)}: read again.", title="Your settings")

    async def _reload_and_report(self, changed: set[str]) -> list[Problem]:
        problems = [problem for problem in await self.reload_user_files() if problem.file in changed]
        for problem in problems:
            self._show_problem(problem)
        return problems

    def _show_problem(self, problem: Problem) -> None:
        self.show_toast(str(problem), title="Your settings", severity="warning", timeout=12)

    def _check_keymap(self) -> None:
        """Says which keys of the user's keymap are asked to do two things on the app."""
        taken: dict[str, str] = {}
        for name, keys in self.config.keymap.items():
            for key in keys.split(","):
                other = taken.setdefault(key.strip(), name)
                if other != name and other.partition(".")[0] == name.partition(".")[0]:
                    self.show_toast(
                        f"{key.strip()} is asked for {other} and for {name}: only one of them gets it.",
                        title="Your keymap",
                        severity="warning",
                        timeout=12,
                    )

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """A key of the user's keymap that something else had: said once."""
        for binding in clashed_bindings:
            name = binding.id or binding.action
            if name not in self._reported_clashes:
                self._reported_clashes.add(name)
                self.show_toast(
                    f"{binding.key} belonged to {name} ({binding.description}), which lost it to your keymap.",
                    title="Your keymap",
                    severity="warning",
                    timeout=12,
                )


def file_versions(directory: Path) -> FileVersions:
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
