"""Toasts: short messages over the screen, shown as they are and never read as markup."""

from __future__ import annotations

from typing import Any

from textual.app import App

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import describe_error


class Toasts:
    """Shows toasts on an app."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app

    def show(
        self, message: str, *, title: str = "", severity: Any = "information", timeout: float | None = None
    ) -> None:
        """Shows a message; `timeout` is in seconds, Textual's default without."""
        lines = "\n".join(sanitize(line) for line in message.split("\n"))
        self._app.notify(lines, title=sanitize(title), severity=severity, timeout=timeout, markup=False)

    def show_error(self, error: BaseException, title: str = "That did not work") -> None:
        """Shows an error; the app goes on."""
        self._app.log.error(repr(error))
        self.show(describe_error(error), title=title, severity="error", timeout=12)
