"""The form of a connection: a new one with its key, or the values that can be changed of one that exists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Button, Input, Select, Static

from askel_tui.contract.revisions import NEWEST, REVISIONS, describe
from askel_tui.core.exit_codes import AskelError
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.connections import fields
from askel_tui.tui.screens.connections.key_form import ERROR_STYLE, KeyForm, form_line
from askel_tui.tui.screens.connections.plain_input import PlainInput
from askel_tui.tui.screens.connections.scopes_view import scope_checklist, summarize_scopes
from askel_tui.tui.shell.workers import run_in_background
from askel_tui.tui.text.notice_addresses import notice_channel_kinds
from askel_tui.tui.widgets.confirm import Confirm
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc


class ListNameSuggester(Suggester):
    """Completes the last of several list names with commas between them, from `names`."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.names: Sequence[str] = ()

    async def get_suggestion(self, value: str) -> str | None:
        """Returns the whole line with its last name completed; None where no name begins so."""
        before, comma, last = value.rpartition(",")
        typed = last.lstrip()
        for name in self.names if typed else ():
            if name.casefold().startswith(typed.casefold()):
                blank = last[: len(last) - len(typed)]
                return before + comma + blank + typed + sanitize(name)[len(typed) :]
        return None


class ConnectionForm(KeyForm[str | None]):
    """Makes or changes a connection; gives its name, or None where nothing was saved."""

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
        Binding("escape", "back", "Back", id="connection.leave"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="connection.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="connection.page_up"),
        Binding("down", "app.focus_next", "Next field", show=False, id="connection.next"),
        Binding("up", "app.focus_previous", "Field before", show=False, id="connection.before"),
    ]

    def __init__(self, existing_names: Sequence[str], existing: ConnectionDoc | None = None) -> None:
        super().__init__()
        self._existing_names = existing_names
        self._existing = existing
        self._list_suggester = ListNameSuggester()

    @property
    def _shown_customer(self) -> str:
        return sanitize((self._existing and self._existing.customer) or "")

    @property
    def _shown_lists(self) -> str:
        return sanitize(", ".join(self._existing.only_lists if self._existing else ()))

    def compose(self) -> ComposeResult:
        """Composes a line per field, the results of the check, and the buttons."""
        existing = self._existing
        box = VerticalScroll(id="form-box", classes="form", can_focus=False)
        box.border_title = f"Change {sanitize(existing.name)}" if existing else "Connect a Klaviyo account"
        box.border_subtitle = (
            "ctrl+r tests notices · ctrl+s saves · Esc leaves"
            if existing
            else "ctrl+t checks · ctrl+r tests · ctrl+s connects · Esc leaves"
        )
        with box:
            if existing is None:
                yield from form_line(
                    "name", PlainInput(id="form-name", placeholder="such as maple-ember", compact=True)
                )
                yield from form_line(
                    "private key", SecretInput(id="form-key", placeholder="pk_… (paste it)", compact=True)
                )
                yield from form_line("revision", _revision_select())
            yield from self._changeable_fields()
            yield Static(id="form-status")
            yield Static(id="form-scopes")
            with Horizontal():
                yield Button("Back (Esc)", id="form-back", compact=True)
                if existing is None:
                    yield Button("Check (^t)", id="form-check", compact=True)
                yield Button("Test notices (^r)", id="form-test", compact=True)
                yield Button("Save (^s)" if existing else "Connect (^s)", id="form-save", compact=True)

    def _changeable_fields(self) -> ComposeResult:
        existing = self._existing
        yield from form_line(
            "customer",
            PlainInput(self._shown_customer, id="form-customer", placeholder="whose account", compact=True),
        )
        placeholder = "all lists; else names, with commas"
        yield from form_line(
            "only lists",
            PlainInput(
                self._shown_lists,
                id="form-lists",
                placeholder=placeholder,
                compact=True,
                suggester=self._list_suggester,
            ),
        )
        addresses = " ".join(existing.notify) if existing else ""
        yield from form_line(
            "notices to",
            SecretInput(value=addresses, id="form-notify", placeholder="slack://… mailto://…", compact=True),
        )
        on_conflict = existing.on_conflict if existing else "fail"
        yield from form_line(
            "two profiles",
            Select(
                fields.ON_CONFLICT_CHOICES,
                value=on_conflict,
                allow_blank=False,
                id="form-conflict",
                compact=True,
            ),
        )

    def on_mount(self) -> None:
        """Reads the list names of a connection that exists, for completion."""
        self._show_status("")
        if self._existing is not None:
            run_in_background(self, self._load_list_names, "lists")

    async def _load_list_names(self) -> None:
        assert self._existing is not None
        catalog = await self._backend.call(queries.catalog, self._existing.name)
        self._list_suggester.names = (
            [named for each in catalog.lists for named in (each.name, each.id)] if catalog else ()
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the check of a key in the form of a connection that exists: only a new one has a key to check."""
        return self._existing is None if action == "check" else True

    def _fields(self) -> fields.ConnectionFields:
        existing = self._existing
        revision: Any = existing.revision if existing else self.query_one("#form-revision", Select).value
        conflict: Any = self.query_one("#form-conflict", Select).value
        customer = self.query_one("#form-customer", Input).value
        lists = self.query_one("#form-lists", Input).value
        # A field that was not touched keeps its stored value: the shown one is sanitized, and names may hold commas.
        same_customer = customer == self._shown_customer
        same_lists = lists == self._shown_lists
        return fields.ConnectionFields(
            name=existing.name if existing else self.query_one("#form-name", Input).value.strip(),
            revision=revision,
            customer=existing.customer if existing and same_customer else customer.strip() or None,
            only_lists=existing.only_lists if existing and same_lists else fields.split_lists(lists),
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
        """Shows the kinds of the addresses; after a change of the key, clears the results of the key before."""
        event.stop()
        if event.secret.id == "form-notify":
            kinds = notice_channel_kinds(self._fields().notify)
            self._show_status(f"Notices go to: {kinds}" if kinds else "")
        else:
            if self._shows_error:
                self._show_status("")
            self.query_one("#form-scopes", Static).update("")

    def on_plain_input_key_redirected(self) -> None:
        """Explains where a key went that was typed or pasted into a field that shows its text."""
        if self._existing is None:
            self._show_status("! A private key goes into this field, where it is masked.", "$warning")
        else:
            self._show_error("A private key is not taken here: r on Connections gives a new one.")

    def on_secret_input_entered(self) -> None:
        """Moves to the next field on Enter."""
        self.focus_next()

    def on_input_submitted(self) -> None:
        """Moves to the next field on Enter."""
        self.focus_next()

    def action_check(self) -> None:
        """Asks Klaviyo about the key."""
        self._start_guarded(self._check_key)

    def action_test(self) -> None:
        """Sends a notice to every address."""
        self._start_guarded(self._send_test_notices)

    def action_save(self) -> None:
        """Makes or changes the connection."""
        self._start_guarded(self._save)

    async def _check_key(self) -> None:
        now = self._fields()
        self._show_status("◌ Asking Klaviyo…")
        key = self._key()
        found = await self._backend.call(services.check_key, key, now.revision)
        self._show_check(found, now.revision)
        if found.scopes.get("lists:read") == "present":
            self._list_suggester.names = await self._backend.call(
                services.lists_visible_to, key, now.revision
            )
            unknown = fields.unknown_lists_error(now.only_lists, self._list_suggester.names)
            if unknown:
                self._show_status(f"! {unknown}", "bold $warning")

    def _show_check(self, found: KeyCheck, revision: str) -> None:
        words, style = summarize_scopes(found.scopes, len(found.missing_features))
        whose = f"{found.account_name or 'account'} ({found.account})" if found.account else "account unknown"
        self.query_one("#form-status", Static).update(
            Content.assemble((f"{sanitize(whose)}  ", "bold"), (words, style))
        )
        self.query_one("#form-scopes", Static).update(scope_checklist(found.scopes, revision))

    async def _send_test_notices(self) -> None:
        now = self._fields()
        error = fields.address_error(now.notify)
        if error or not now.notify:
            self._show_error(error or "There is no address to test.")
            return
        self._show_status("◌ Sending a test notice…")
        backend = self._backend
        results = await backend.call(services.send_test_notice, now.notify, backend.actor)
        outcomes = [
            f"{notice_channel_kinds([address])}: {'✓ sent' if why is None else f'✗ {why}'}"
            for address, why in zip(now.notify, results, strict=True)
        ]
        self._show_status(" · ".join(outcomes), ERROR_STYLE if any(results) else "$success")

    async def _save(self) -> None:
        now, existing = self._fields(), self._existing
        error = fields.fields_error(now, () if existing else self._existing_names)
        if not existing or now.only_lists != existing.only_lists:
            error = error or fields.unknown_lists_error(
                now.only_lists, self._list_suggester.names or now.only_lists
            )
        if error:
            self._show_error(error)
            if existing is None and fields.name_error(now, self._existing_names):
                self.query_one("#form-name").focus()
            return
        if existing is not None:
            backend, changed = self._backend, now.editable_values()
            await backend.call(services.change_connection, existing.name, backend.actor, changed)
            self._finish(existing.name)
            return
        self._show_status("◌ Checking the key, then connecting…")
        key = self._key()
        backend, chosen = self._backend, {"revision": now.revision, **now.editable_values()}
        try:
            await backend.call(services.connect, now.name, key, backend.actor, **chosen)
        except AskelError as refused:
            question = getattr(refused, "question", None)
            if question is None:
                raise
            detail = "Yes takes it as Klaviyo serves it; no goes back, to choose a newer one."
            if not await self.app.push_screen_wait(Confirm(f"{question} Pin it all the same?", detail)):
                self._show_status("")
                return
            await backend.call(services.connect, now.name, key, backend.actor, **chosen, accept_retired=True)
        self._finish(now.name)


def _revision_select() -> Select[str]:
    today = datetime.now(UTC).date()
    words = {revision: describe(revision, today) for revision in reversed(REVISIONS)} | {NEWEST: "newest"}
    options = [(f"{revision} ({said})", revision) for revision, said in words.items()]
    return Select(options, value=NEWEST, allow_blank=False, id="form-revision", compact=True)
