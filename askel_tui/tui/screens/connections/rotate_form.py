"""The form for a new key of a connection: both keys are checked side by side before anything is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from askel_tui.core.fingerprints import fingerprint
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import describe_error, services
from askel_tui.tui.screens.connections.key_form import KeyForm, form_line
from askel_tui.tui.screens.connections.scopes_view import scope_checklist, summarize_scopes
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc


class RotateForm(KeyForm[bool]):
    """A form for the new key of a connection; gives True once the connection has it."""

    CANCELLED_TEXT = "Cancelled; nothing was changed."
    ERROR_NOTE = "The old key stays."
    help = Help(
        "A new key",
        "Paste the new private key; Enter or ctrl+t checks both keys against Klaviyo. ctrl+s changes the key once the "
        "new one is known to be of the same account. Steps that were held because of the old key go on.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+t", "check", "Check both keys", id="rotate.check", priority=True),
        Binding("ctrl+s", "save", "Change the key", id="rotate.save", priority=True),
        Binding("escape", "back", "Back", id="rotate.leave"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="rotate.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="rotate.page_up"),
    ]

    def __init__(self, existing: ConnectionDoc) -> None:
        super().__init__()
        self._existing = existing
        self._new_key_fits = False

    def compose(self) -> ComposeResult:
        """Composes the field for the new key, the results of both checks, and the buttons."""
        box = VerticalScroll(id="form-box", classes="form", can_focus=False)
        box.border_title = f"A new key for {sanitize(self._existing.name)}"
        box.border_subtitle = "ctrl+t checks both · ctrl+s changes · Esc leaves"
        with box:
            yield from form_line(
                "new key", SecretInput(id="form-key", placeholder="pk_… (paste it)", compact=True)
            )
            yield Static(id="form-status")
            yield Static(id="form-scopes")
            with Horizontal():
                yield Button("Back (Esc)", id="form-back", compact=True)
                yield Button("Check both (ctrl+t)", id="form-check", compact=True)
                yield Button("Change the key (ctrl+s)", id="form-save", compact=True)

    def on_mount(self) -> None:
        """Shows the present key's fingerprint."""
        account = self._existing.account or "an unknown account"
        self._show_status(f"Its key now: {self._existing.key}, of {account}.")

    def on_secret_input_edited(self) -> None:
        """Forgets the results of the key that was there before."""
        self._new_key_fits = False
        self.query_one("#form-scopes", Static).update("")

    def on_secret_input_entered(self) -> None:
        """Checks both keys on Enter."""
        self.action_check()

    def action_check(self) -> None:
        """Checks both keys."""
        self._start_guarded(self._check_keys)

    def action_save(self) -> None:
        """Changes the key, after a check where there was none."""
        self._start_guarded(self._save)

    async def _check_keys(self) -> None:
        existing = self._existing
        key = self.query_one(SecretInput).value.strip()
        if not key:
            raise ValueError("paste the new private key first, pk_…")
        if fingerprint(key) == existing.key:
            raise ValueError("this is the key that it has now: paste the new one.")
        self._show_status("◌ Asking Klaviyo about both keys…")
        new, old = await asyncio.gather(
            self._backend.call(services.check_key, key, existing.revision),
            self._backend.call(services.check_connection, existing.name),
            return_exceptions=True,
        )
        if isinstance(new, BaseException):
            raise new
        self._show_checks(new, old)

    def _show_checks(self, new: KeyCheck, old: tuple[ConnectionDoc, KeyCheck] | BaseException) -> None:
        existing = self._existing
        same_account = not (new.account and existing.account) or new.account == existing.account
        self._new_key_fits = same_account and not new.missing_required
        parts: list[Any] = []
        if not same_account:
            accounts = sanitize(f"{new.account}, not of {existing.account}")
            words = f"✗ the new key is of account {accounts}: it can't be this connection's\n"
            parts.append((words, "bold $error"))
        words, style = summarize_scopes(new.scopes, len(new.missing_features))
        parts.append((f"new key: {words}\n", style))
        if isinstance(old, BaseException):
            parts.append((f"old key: ✗ {describe_error(old)}", "$warning"))
        else:
            parts.append(f"old key: {summarize_scopes(old[1].scopes, len(old[1].missing_features))[0]}")
        self.query_one("#form-status", Static).update(Content.assemble(*parts))
        before = existing.scopes if isinstance(old, BaseException) else old[1].scopes
        self.query_one("#form-scopes", Static).update(scope_checklist(new.scopes, existing.revision, before))

    async def _save(self) -> None:
        if not self._new_key_fits:
            await self._check_keys()
        if self._new_key_fits:
            self._show_status("◌ Changing the key…")
            key, backend = self.query_one(SecretInput).value, self._backend
            await backend.call(services.rotate, self._existing.name, key, backend.actor)
            self._finish(True)
