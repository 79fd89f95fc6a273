"""The form of a connection: a new one with its key, or what can be changed of one that exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Button, Input, Label, Select, Static
from textual.worker import Worker

from askel_tui.contract.endpoints import NEWEST, SELECTABLE, serving_revision
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import Backend, describe_error
from askel_tui.tui.screens.connections import fields
from askel_tui.tui.screens.connections.plain_input import PlainInput
from askel_tui.tui.screens.connections.scopes_view import (
    notice_channel_kinds,
    scope_checklist,
    summarize_scopes,
)
from askel_tui.tui.shell.console import console_of
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal
from askel_tui.tui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc


class _ListNameSuggester(Suggester):
    """Completes the last of several names."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.names: Sequence[str] = ()

    async def get_suggestion(self, value: str) -> str | None:
        """The line with its last name complete."""
        before, comma, last = value.rpartition(",")
        typed = last.lstrip()
        for name in self.names if typed else ():
            if name.casefold().startswith(typed.casefold()):
                blank = last[: len(last) - len(typed)]
                return before + comma + blank + typed + sanitize(name)[len(typed) :]
        return None


class ConnectionForm(Modal[str | None]):
    """Makes or changes a connection; gives its name, or None where it was left."""

    CSS_PATH = "form.tcss"
    help = Help(
        "A connection",
        "Paste the private key (Klaviyo: Settings, API keys); it is shown as dots, goes into the keyring and nowhere "
        "else. ctrl+t asks Klaviyo whose account it opens and which scopes it has, and writes nothing. ctrl+s checks "
        "and connects, ctrl+r sends a test notice. A revision is pinned: moving to another one is rehearsed later.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+t", "check", "Check the key", id="connection.check_key", priority=True),
        Binding("ctrl+s", "save", "Connect", id="connection.save", priority=True),
        Binding("ctrl+r", "test", "Test the notices", id="connection.test", priority=True),
        Binding("escape", "leave", "Back", id="connection.leave"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="connection.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="connection.page_up"),
        Binding("down", "app.focus_next", "Next field", show=False, id="connection.next"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="connection.before"),
    ]

    def __init__(self, taken: Sequence[str], present: ConnectionDoc | None = None) -> None:
        super().__init__()
        self._existing_names = taken
        self._existing = present
        self._list_suggester = _ListNameSuggester()
        self._current_worker: Worker[Any] | None = None
        self._checked: KeyCheck | None = None
        self._shows_error = False

    @property
    def _shown_customer(self) -> str:
        return sanitize((self._existing and self._existing.customer) or "")

    @property
    def _shown_lists(self) -> str:
        return sanitize(", ".join(self._existing.only_lists if self._existing else ()))

    @property
    def _backend(self) -> Backend:
        return console_of(self).backend

    def compose(self) -> ComposeResult:
        """A line per field, what was found about the key, and the buttons."""
        present = self._existing
        box = VerticalScroll(id="form-box", classes="form", can_focus=False)
        box.border_title = f"Change {sanitize(present.name)}" if present else "Connect a Klaviyo account"
        box.border_subtitle = (
            "ctrl+r tests notices · ctrl+s saves · Esc leaves"
            if present
            else "ctrl+t checks · ctrl+r tests · ctrl+s connects · Esc leaves"
        )
        with box:
            if present is None:
                yield from _form_line(
                    "name", PlainInput(id="form-name", placeholder="such as maple-ember", compact=True)
                )
                yield from _form_line(
                    "private key", SecretInput(id="form-key", placeholder="pk_… (paste it)", compact=True)
                )
                yield from _form_line("revision", self._revisions())
            customer = self._shown_customer
            yield from _form_line(
                "customer",
                PlainInput(customer, id="form-customer", placeholder="whose account", compact=True),
            )
            only = self._shown_lists
            yield from _form_line(
                "only lists",
                PlainInput(only, id="form-lists", placeholder="all lists; else names, with commas", compact=True,
                       suggester=self._list_suggester),
            )  # fmt: skip
            kept = " ".join(present.notify) if present else ""
            yield from _form_line(
                "notices to",
                SecretInput(value=kept, id="form-notify", placeholder="slack://… mailto://…", compact=True),
            )
            conflict = present.on_conflict if present else "fail"
            yield from _form_line(
                "two profiles",
                Select(
                    fields.ON_CONFLICT_CHOICES,
                    value=conflict,
                    allow_blank=False,
                    id="form-conflict",
                    compact=True,
                ),
            )
            yield Static(id="form-status")
            yield Static(id="form-scopes")
            with Horizontal():
                yield Button("Back (Esc)", id="form-back", compact=True)
                if present is None:
                    yield Button("Check (^t)", id="form-check", compact=True)
                yield Button("Test notices (^r)", id="form-test", compact=True)
                yield Button("Save (^s)" if present else "Connect (^s)", id="form-save", compact=True)

    def _revisions(self) -> Select[str]:
        words = {NEWEST: f"{NEWEST} (newest)"}
        options = [
            (
                words.get(
                    each,
                    each
                    if serving_revision(each) == each
                    else f"{each} (retired: served as {serving_revision(each)})",
                ),
                each,
            )
            for each in reversed(SELECTABLE)
        ]
        return Select(options, value=NEWEST, allow_blank=False, id="form-revision", compact=True)

    def on_mount(self) -> None:
        """The first field has the focus; what exists is known by its kinds of addresses."""
        self._show_status("")
        if self._existing is not None:
            run_in_background(self, self._load_list_names, "lists")

    async def _load_list_names(self) -> None:
        assert self._existing is not None
        catalog = await self._backend.catalog(self._existing.name)
        self._list_suggester.names = (
            [named for each in catalog.lists for named in (each.name, each.id)] if catalog else ()
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a key to check in a new connection only."""
        return self._existing is None if action == "check" else True

    # What is typed.

    def _fields(self) -> fields.ConnectionFields:
        present = self._existing
        revision: Any = present.revision if present else self.query_one("#form-revision", Select).value
        conflict: Any = self.query_one("#form-conflict", Select).value
        customer = self.query_one("#form-customer", Input).value
        lists = self.query_one("#form-lists", Input).value
        # What was not touched stays as it is stored: what is shown of it is inert, and names may hold commas.
        same_customer = customer == self._shown_customer
        same_lists = lists == self._shown_lists
        return fields.ConnectionFields(
            name=present.name if present else self.query_one("#form-name", Input).value.strip(),
            revision=revision,
            customer=present.customer if present and same_customer else customer.strip() or None,
            only_lists=present.only_lists if present and same_lists else fields.split_lists(lists),
            notify=fields.split_addresses(self.query_one("#form-notify", SecretInput).value),
            on_conflict=conflict,
        )

    def _key(self) -> str:
        key = self.query_one("#form-key", SecretInput).value.strip()
        if not key:
            self.query_one("#form-key").focus()
            raise ValueError("paste the private key first, pk_…")
        return key

    def on_secret_input_edited(self, event: SecretInput.Edited) -> None:
        """Another key: what was found is of the one before. Addresses are named by their kind."""
        event.stop()
        if event.secret.id == "form-notify":
            kinds = notice_channel_kinds(self._fields().notify)
            self._show_status(f"Notices go to: {kinds}" if kinds else "")
        else:
            # What was found or said is of the key before.
            self._checked = None
            if self._shows_error:
                self._show_status("")
            self.query_one("#form-scopes", Static).update("")

    def on_plain_input_key_redirected(self) -> None:
        """A key was typed or pasted where it would be shown: it went to its own field, or nowhere."""
        if self._existing is None:
            self._show_status("! A private key goes into this field, where it is masked.", "$warning")
        else:
            self._show_status(
                "✗ A private key is not taken here: r on Connections gives a new one.", "bold $error"
            )

    def on_secret_input_entered(self) -> None:
        """Enter goes on."""
        self.focus_next()

    def on_input_submitted(self) -> None:
        """Enter goes on."""
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The buttons do what the keys do."""
        does = {
            "form-back": self.action_leave,
            "form-check": self.action_check,
            "form-test": self.action_test,
            "form-save": self.action_save,
        }
        does[str(event.button.id)]()

    # Acting.

    def action_page(self, by: int) -> None:
        """What does not fit on a small screen."""
        box = self.query_one("#form-box")
        box.scroll_page_down(animate=False) if by > 0 else box.scroll_page_up(animate=False)

    def action_check(self) -> None:
        """Asks Klaviyo about the key."""
        self._start_guarded(self._check_key)

    def action_test(self) -> None:
        """Sends a notice to every address."""
        self._start_guarded(self._send_test_notices)

    def action_save(self) -> None:
        """Makes or changes the connection."""
        self._start_guarded(self._save)

    def action_leave(self) -> None:
        """Cancels what runs, else leaves."""
        if self._current_worker is not None and self._current_worker.is_running:
            self._current_worker.cancel()
            self._show_status("Cancelled.", "$warning")
            return
        self._finish(None)

    def _finish(self, name: str | None) -> None:
        for secret in self.query(SecretInput):
            secret.forget()
        self.dismiss(name)

    def _start_guarded(self, work: Any) -> None:
        async def guarded() -> None:
            try:
                await work()
            except Exception as error:
                self._show_status(f"✗ {describe_error(error)}", "bold $error")

        self._current_worker = run_in_background(self, guarded, "form", exclusive=True)

    def _show_status(self, words: str, style: str = "") -> None:
        self._shows_error = style == "bold $error"
        self.query_one("#form-status", Static).update(Content.styled(sanitize(words), style))

    async def _check_key(self) -> None:
        now = self._fields()
        self._show_status("◌ Asking Klaviyo…")
        key = self._key()
        found = await self._backend.check_key(key, now.revision)
        self._checked = found
        self._show_check(found, now.revision)
        if found.scopes.get("lists:read") == "present":
            self._list_suggester.names = await self._backend.lists_visible_to(key, now.revision)
            unknown = fields.unknown_lists_error(now.only_lists, self._list_suggester.names)
            if unknown:
                self._show_status(f"! {unknown}", "bold $warning")

    def _show_check(self, found: KeyCheck, revision: str) -> None:
        words, style = summarize_scopes(found.scopes, len(found.missing_features))
        whose = (
            f"{found.account_name or 'account'} ({found.account})" if found.account else "account not told"
        )
        self.query_one("#form-status", Static).update(
            Content.assemble((f"{sanitize(whose)}  ", "bold"), (words, style))
        )
        self.query_one("#form-scopes", Static).update(scope_checklist(found.scopes, revision))

    async def _send_test_notices(self) -> None:
        now = self._fields()
        trouble = fields.address_error(now.notify)
        if trouble or not now.notify:
            self._show_status(f"✗ {trouble or 'There is no address to test.'}", "bold $error")
            return
        self._show_status("◌ Sending a test notice…")
        results = await self._backend.test_notice(now.notify)
        told_of = [
            f"{notice_channel_kinds([address])}: {'✓ sent' if why is None else f'✗ {why}'}"
            for address, why in zip(now.notify, results, strict=True)
        ]
        self._show_status(" · ".join(told_of), "bold $error" if any(results) else "$success")

    async def _save(self) -> None:
        now, present = self._fields(), self._existing
        trouble = fields.fields_error(now, () if present else self._existing_names)
        if not present or now.only_lists != present.only_lists:
            trouble = trouble or fields.unknown_lists_error(
                now.only_lists, self._list_suggester.names or now.only_lists
            )
        if trouble:
            self._show_status(f"✗ {trouble}", "bold $error")
            if present is None and fields.name_error(now, self._existing_names):
                self.query_one("#form-name").focus()
            return
        if present is not None:
            await self._backend.change_connection(present.name, **now.editable_values())
            self._finish(present.name)
            return
        self._show_status("◌ Checking the key, then connecting…")
        key = self._key()
        await self._backend.connect(now.name, key, revision=now.revision, **now.editable_values())
        self._finish(now.name)


def _form_line(label: str, field: Any) -> ComposeResult:
    with Horizontal(classes="form-line"):
        yield Label(label)
        yield field
