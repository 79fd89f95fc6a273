"""A new key for a connection: both keys are checked side by side before anything is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Label, Static
from textual.worker import Worker

from askel_tui.core.fingerprints import fingerprint
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.screens.connections.scopes_view import scope_checklist, summarize_scopes
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal
from askel_tui.tui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc


class RotateForm(Modal[bool]):
    """True once the connection has its new key."""

    CSS_PATH = "form.tcss"
    help = Help(
        "A new key",
        "Paste the new private key; Enter or ctrl+t checks both keys against Klaviyo. ctrl+s changes the key once the "
        "new one is known to be of the same account. Steps that were held because of the old key go on.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+t", "check", "Check both keys", id="rotate.check", priority=True),
        Binding("ctrl+s", "save", "Change the key", id="rotate.save", priority=True),
        Binding("escape", "leave", "Back", id="rotate.leave"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="rotate.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="rotate.page_up"),
    ]

    def __init__(self, present: ConnectionDoc) -> None:
        super().__init__()
        self._existing = present
        self._new_key_fits = False
        self._current_worker: Worker[Any] | None = None

    @property
    def _backend(self) -> Backend:
        return console_of(self).backend

    def compose(self) -> ComposeResult:
        """The new key, what was found about both, and the buttons."""
        box = VerticalScroll(id="form-box", classes="form", can_focus=False)
        box.border_title = f"A new key for {sanitize(self._existing.name)}"
        box.border_subtitle = "ctrl+t checks both · ctrl+s changes · Esc leaves"
        with box:
            with Horizontal(classes="form-line"):
                yield Label("new key")
                yield SecretInput(id="form-key", placeholder="pk_… (paste it)", compact=True)
            yield Static(id="form-status")
            yield Static(id="form-scopes")
            with Horizontal():
                yield Button("Back (Esc)", id="form-back", compact=True)
                yield Button("Check both (ctrl+t)", id="form-check", compact=True)
                yield Button("Change the key (ctrl+s)", id="form-save", compact=True)

    def on_mount(self) -> None:
        """Says what is there now."""
        self._show_status(
            f"Its key now: {self._existing.key}, of {self._existing.account or 'an account that is not told'}."
        )

    def on_secret_input_edited(self) -> None:
        """Another key: nothing is known about it."""
        self._new_key_fits = False
        self.query_one("#form-scopes", Static).update("")

    def on_secret_input_entered(self) -> None:
        """Enter checks."""
        self.action_check()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The buttons do what the keys do."""
        {"form-back": self.action_leave, "form-check": self.action_check, "form-save": self.action_save}[
            str(event.button.id)
        ]()

    def action_page(self, by: int) -> None:
        """What does not fit on a small screen."""
        box = self.query_one("#form-box")
        box.scroll_page_down(animate=False) if by > 0 else box.scroll_page_up(animate=False)

    def action_check(self) -> None:
        """Checks both keys."""
        self._start_guarded(self._check_keys)

    def action_save(self) -> None:
        """Changes the key; what was not checked is checked first."""
        self._start_guarded(self._save)

    def action_leave(self) -> None:
        """Cancels what runs, else leaves everything as it is."""
        if self._current_worker is not None and self._current_worker.is_running:
            self._current_worker.cancel()
            self._show_status("Cancelled; nothing was changed.", "$warning")
            return
        self._finish(False)

    def _finish(self, changed: bool) -> None:
        self.query_one(SecretInput).forget()
        self.dismiss(changed)

    def _start_guarded(self, work: Any) -> None:
        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                self._show_status(f"✗ {describe_error(error)} The old key stays.", "bold $error")

        self._current_worker = run_in_background(self, guarded, "form", exclusive=True)

    def _show_status(self, words: str, style: str = "") -> None:
        self.query_one("#form-status", Static).update(Content.styled(sanitize(words), style))

    async def _check_keys(self) -> bool:
        backend, present = self._backend, self._existing
        key = self.query_one(SecretInput).value.strip()
        if not key:
            raise ValueError("paste the new private key first, pk_…")
        if fingerprint(key) == present.key:
            raise ValueError("this is the key that it has now: paste the new one.")
        self._show_status("◌ Asking Klaviyo about both keys…")
        new, old = await asyncio.gather(
            backend.check_key(key, present.revision),
            backend.check_connection(present.name),
            return_exceptions=True,
        )
        if isinstance(new, BaseException):
            raise new
        self._show_check(new, old)
        return self._new_key_fits

    def _show_check(self, new: KeyCheck, old: tuple[ConnectionDoc, KeyCheck] | BaseException) -> None:
        present = self._existing
        same = not (new.account and present.account) or new.account == present.account
        words, style = summarize_scopes(new.scopes, len(new.missing_features))
        self._new_key_fits = same and not new.missing_required
        parts: list[Any] = []
        if not same:
            told_of = f"{new.account}, not of {present.account}"
            parts.append(
                (
                    f"✗ the new key is of account {sanitize(told_of)}: it can't be this connection's\n",
                    "bold $error",
                )
            )
        parts.append((f"new key: {words}\n", style))
        if isinstance(old, BaseException):
            parts.append((f"old key: ✗ {describe_error(old)}", "$warning"))
        else:
            parts.append(f"old key: {summarize_scopes(old[1].scopes, len(old[1].missing_features))[0]}")
        self.query_one("#form-status", Static).update(Content.assemble(*parts))
        before = present.scopes if isinstance(old, BaseException) else old[1].scopes
        self.query_one("#form-scopes", Static).update(scope_checklist(new.scopes, present.revision, before))

    async def _save(self) -> None:
        if not self._new_key_fits and not await self._check_keys():
            return
        self._show_status("◌ Changing the key…")
        await self._backend.rotate(self._existing.name, self.query_one(SecretInput).value)
        self._finish(True)
