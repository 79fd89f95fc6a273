"""The base of the forms that take a private key: status line, scopes, and work that Esc cancels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Label, Static
from textual.worker import Worker

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.widgets.modal import Modal
from askel_tui.tui.widgets.secret_input import SecretInput

T = TypeVar("T")

ERROR_STYLE = "bold $error"


class KeyForm(Modal[T], Generic[T]):
    """A form with the fields `#form-status` and `#form-scopes`; a button `form-NAME` does what `action_NAME` does."""

    CSS_PATH = "form.tcss"
    CANCELLED_TEXT: ClassVar[str] = "Cancelled."
    ERROR_NOTE: ClassVar[str] = ""
    """A sentence that follows every error."""

    def __init__(self) -> None:
        super().__init__()
        self._current_worker: Worker[Any] | None = None
        self._shows_error = False

    @property
    def _backend(self) -> Backend:
        return console_of(self).backend

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Does what the key of the same name does."""
        getattr(self, f"action_{str(event.button.id).removeprefix('form-')}")()

    def action_page(self, by: int) -> None:
        """Scrolls a form that does not fit on a small screen."""
        box = self.query_one("#form-box")
        box.scroll_page_down(animate=False) if by > 0 else box.scroll_page_up(animate=False)

    def action_back(self) -> None:
        """Cancels the work that runs; without any, closes the form and changes nothing."""
        if self._current_worker is not None and self._current_worker.is_running:
            self._current_worker.cancel()
            self._show_status(self.CANCELLED_TEXT, "$warning")
        else:
            self._finish(None)

    def _finish(self, result: T | None) -> None:
        for secret in self.query(SecretInput):
            secret.forget()
        self.dismiss(result)

    def _start_guarded(self, work: Callable[[], Awaitable[Any]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                self._show_error(f"{describe_error(error)} {self.ERROR_NOTE}".rstrip())

        self._current_worker = run_in_background(self, guarded, "form", exclusive=True)

    def _show_status(self, words: str, style: str = "") -> None:
        self._shows_error = style == ERROR_STYLE
        self.query_one("#form-status", Static).update(Content.styled(sanitize(words), style))

    def _show_error(self, words: str) -> None:
        self._show_status(f"✗ {words}", ERROR_STYLE)


def form_line(label: str, field: Any) -> ComposeResult:
    """Composes a field with its label before it."""
    with Horizontal(classes="form-line"):
        yield Label(label)
        yield field
