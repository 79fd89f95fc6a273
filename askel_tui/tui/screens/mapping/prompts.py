"""The questions of a mapping session, asked by modal screens."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from textual.app import SuspendNotSupported

from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.file_dialog import write_or_replace
from askel_tui.tui.screens.mapping.version_diff import VersionDiff
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.expression_input import ExpressionInput
from askel_tui.tui.widgets.picker import Picker
from askel_tui.tui.widgets.rows import Cell
from askel_tui.tui.widgets.text_prompt import TextPrompt

T = TypeVar("T")


class ScreenPrompts:
    """Implements `session.Prompts` over a screen."""

    def __init__(self, screen: AskelScreen) -> None:
        self._screen = screen

    async def pick(
        self,
        question: str,
        choices: Sequence[Choice],
        *,
        detail: str = "",
        preselected: str | None = None,
        allow_typed: bool = False,
        case_sensitive: bool = True,
    ) -> str | None:
        """Asks with a picker."""
        return await self._screen.ask(
            Picker(
                question,
                choices,
                detail=detail,
                preselected=preselected,
                allow_typed=allow_typed,
                case_sensitive=case_sensitive,
            )
        )

    async def edit_line(
        self,
        label: str,
        text: str,
        *,
        preview: Callable[[str], Cell] | None = None,
        complete: Callable[[str], Sequence[Choice]] | None = None,
    ) -> str | None:
        """Asks with a line that completes."""
        return await self._screen.ask(ExpressionInput(label, text, preview=preview, complete=complete))

    async def type_text(self, question: str, detail: str = "", *, value: str = "") -> str | None:
        """Asks with an empty line."""
        return await self._screen.ask(TextPrompt(question, detail, value=value))

    async def confirm(self, question: str, detail: str = "") -> bool:
        """Asks for yes or no."""
        return await self._screen.confirm(question, detail)

    async def show_diff(self, title: str, lines: Sequence[tuple[str, str]], version: str) -> bool:
        """Shows a diff."""
        taken: bool | None = await self._screen.ask(VersionDiff(title, lines, version))
        return bool(taken)

    async def write_file(self, name: str, text: str) -> Path | None:
        """Writes a file that only its owner can read."""
        return await write_or_replace(self._screen, name, text)

    def open_editor(self, name: str, text: str) -> str | None:
        """Opens $EDITOR on a temporary file and waits: the console has nothing to do meanwhile."""
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        with tempfile.TemporaryDirectory(prefix="askel-") as directory:
            file = Path(directory) / name
            file.write_text(text, "utf-8")
            try:
                with self._screen.askel.suspend():
                    subprocess.run([*command, str(file)], check=False)
            except SuspendNotSupported:
                return None
            return file.read_text("utf-8", "replace")

    async def with_progress(self, label: str, work: Awaitable[T]) -> T:
        """Awaits work, and shows progress after a moment; Esc cancels."""
        return await self._screen.with_progress(label, work)

    def notify(
        self, message: str, *, title: str = "", severity: Any = "information", timeout: float | None = None
    ) -> None:
        """Shows a toast."""
        self._screen.toasts.show(message, title=title, severity=severity, timeout=timeout)
