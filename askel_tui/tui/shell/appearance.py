"""How the console looks and what it says: the user's themes, keymap and settings, read again when they are saved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.binding import Binding

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.tui.backend import Backend, told
from askel_tui.tui.preferences import config, themes
from askel_tui.tui.text.inert import inert

if TYPE_CHECKING:
    from textual.dom import DOMNode

LOOK_S = 2.0
"""How often it is looked whether one of the user's files was saved, in seconds."""

Stamp = frozenset[tuple[str, int, int]]
"""The user's files, each with when it was changed and how long it is."""


class Looks(App[None]):
    """The part of the app that has to do with the user's own files, and with toasts."""

    backend: Backend

    def __init__(self, home: Path | None, kept_theme: Any) -> None:
        self.config = config.load(home)
        self._where = home
        self._stamp: Stamp = frozenset()
        self._clashes: set[str] = set()
        self._problems: list[Problem] = list(self.config.problems)
        super().__init__()
        self._load_first_theme(kept_theme)
        self.set_keymap(dict(self.config.keymap))

    # Telling.

    def say(
        self, message: str, *, title: str = "", severity: Any = "information", timeout: float | None = None
    ) -> None:
        """A toast; the text is shown as it is, inert, never read as markup."""
        lines = "\n".join(inert(line) for line in message.split("\n"))
        self.notify(lines, title=inert(title), severity=severity, timeout=timeout, markup=False)

    def trouble(self, error: BaseException, title: str = "") -> None:
        """A toast for what went wrong; the app goes on."""
        self.log.error(repr(error))
        self.say(told(error), title=title or "That did not work", severity="error", timeout=12)

    # Themes and keys.

    def _load_first_theme(self, kept: Any) -> None:
        """The theme that the first paint needs; the others come later."""
        wanted = str(kept or self.config.theme or themes.DEFAULT)
        for directory in self._theme_directories():
            for theme in themes.load(directory, only=wanted)[0]:
                self.register_theme(theme)
        if wanted not in self.available_themes:
            self._load_themes()
        if wanted not in self.available_themes:
            guess = did_you_mean(wanted, self.available_themes)
            self._problems.append(Problem(f"no theme is called {wanted!r}", "theme", suggestion=guess))
            wanted = themes.DEFAULT if themes.DEFAULT in self.available_themes else "textual-dark"
        self.theme = wanted

    def _load_themes(self) -> list[Problem]:
        problems: list[Problem] = []
        for directory in self._theme_directories():
            found, wrong = themes.load(directory)
            problems += wrong
            for theme in found:
                if theme.name not in self.available_themes:
                    self.register_theme(theme)
        return problems

    def _theme_directories(self) -> tuple[Path, Path]:
        return themes.builtin_directory(), (self._where or config.directory()) / "themes"

    async def read_files(self) -> list[Problem]:
        """Reads config.yaml, keymap.yaml and the user's themes again. Gives what is wrong with them."""
        directory = self.backend.config_directory
        self._stamp = await asyncio.to_thread(_stamp, directory)
        self.config = await asyncio.to_thread(config.load, directory)
        found, problems = await asyncio.to_thread(themes.load, directory / "themes")
        for theme in found:
            self.register_theme(theme)
        if self.theme in {theme.name for theme in found}:
            self._invalidate_css()
            self.refresh_css(animate=False)
        self.set_keymap(dict(self.config.keymap))
        return [*self.config.problems, *problems]

    def begin_looking(self) -> None:
        """Reads the themes that the first paint did not need, says what is wrong, and looks for changes from now on."""
        for problem in (*self._problems, *self._load_themes()):
            self._wrong(problem)
        self._check_keymap()
        self._stamp = _stamp(self.backend.config_directory)
        self._look_later()

    def _look_later(self) -> None:
        # The next look begins when this one is done: a slow disk must not pile them up.
        self.set_timer(LOOK_S, self._look)

    async def _look(self) -> None:
        try:
            await self._read_what_changed()
        except Exception as error:
            self.log.error(told(error))
        self._look_later()

    async def _read_what_changed(self) -> None:
        """A file that was saved counts at once; what is wrong with it is said."""
        directory = self.backend.config_directory
        now = await asyncio.to_thread(_stamp, directory)
        before, self._stamp = self._stamp, now
        if before == now:
            return
        config_before = self.config
        changed = {name for name, *_ in before ^ now}
        wrong = {problem.file for problem in await self._say_wrong(changed)}
        self._check_keymap()
        good = sorted(Path(name).name for name in changed - wrong)
        # What Settings wrote itself needs no word.
        if good and (good != ["config.yaml"] or self.config != config_before):
            self.say(f"{', '.join(good)}: read again.", title="Your settings")

    async def _say_wrong(self, changed: set[str]) -> list[Problem]:
        problems = [problem for problem in await self.read_files() if problem.file in changed]
        for problem in problems:
            self._wrong(problem)
        return problems

    def _wrong(self, problem: Problem) -> None:
        self.say(str(problem), title="Your settings", severity="warning", timeout=12)

    def _check_keymap(self) -> None:
        """Says which keys of the user's keymap are asked to do two things on the app."""
        taken: dict[str, str] = {}
        for name, keys in self.config.keymap.items():
            for key in keys.split(","):
                other = taken.setdefault(key.strip(), name)
                if other != name and other.partition(".")[0] == name.partition(".")[0]:
                    self.say(
                        f"{key.strip()} is asked for {other} and for {name}: only one of them gets it.",
                        title="Your keymap",
                        severity="warning",
                        timeout=12,
                    )

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """A key of the user's keymap that something else had: said once."""
        for binding in clashed_bindings:
            name = binding.id or binding.action
            if name not in self._clashes:
                self._clashes.add(name)
                self.say(
                    f"{binding.key} belonged to {name} ({binding.description}), which lost it to your keymap.",
                    title="Your keymap",
                    severity="warning",
                    timeout=12,
                )


def _stamp(directory: Path) -> Stamp:
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
