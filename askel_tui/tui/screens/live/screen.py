"""The screen Live: the audit as it grows, followed or held, filtered, and each entry whole."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container

from askel_tui.text.json_text import encode_json
from askel_tui.text.numbers import pluralize
from askel_tui.tui.backend import describe_error, queries
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.live.entry_detail import EntryDetail
from askel_tui.tui.screens.live.feed import TailFeed, TailRows
from askel_tui.tui.screens.live.filter import TAIL_FILTER_FIELDS, InvalidFilterField, build_query
from askel_tui.tui.screens.live.rows import PageKey
from askel_tui.tui.screens.live.tail import Tail
from askel_tui.tui.screens.workflow_commands import pause_or_resume, release_holds
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.curl import curl_command
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.widgets.filter_bar import FilterBar

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import AuditEntry

FILTER_DELAY_S = 0.04
"""Time after the last key until a filter is applied, in seconds."""


class LiveScreen(AskelScreen):
    """The screen that shows every write and every decision."""

    NAME = "live"
    CSS_PATH = "live.tcss"
    HAS_FILTER = True
    FILTER_FIELDS = TAIL_FILTER_FIELDS
    RELOADS_ON_COMMIT = False
    HELP = (
        "Every write and every decision, as they come. / filters while it follows: words, !word, and "
        "connection: workflow: step: profile: result: kind: record: since:15m until:."
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("y", "copy_json", "JSON", id="live.copy_json", tooltip="Copies the entry as JSON"),
        Binding(
            "c", "copy_curl", "curl", id="live.copy_curl", tooltip="Copies its request; the key is a variable"
        ),
        Binding(
            "o", "only", "Its record", id="live.only", show=False, tooltip="Only what became of this record"
        ),
        Binding("p", "pause", "Pause/resume", id="live.pause", tooltip="The entry's workflow"),
        Binding("s", "hold", "Hold step", id="live.hold", show=False, tooltip="The step's operations wait"),
        Binding(
            "r", "release", "Release step", id="live.release", show=False, tooltip="Sends what a hold keeps"
        ),
        Binding("t", "retry", "Try again", id="live.retry", show=False, tooltip="What failed of this record"),
        Binding(
            "d",
            "daemon",
            "Daemon",
            id="live.daemon",
            show=False,
            tooltip="Starts it, or ends the one started here",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._feed: TailFeed | None = None
        self._entry: AuditEntry | None = None
        self._applied_filter: str | None = None

    def body(self) -> ComposeResult:
        """Composes the tail, and the entry beside or below it."""
        with Container(id="live"):
            tail = Tail(id="tail", classes="panel")
            tail.border_title = "Audit"
            yield tail
            yield EntryDetail(id="detail", classes="panel")

    # The feed.

    async def load(self) -> None:
        """Starts the feed, once, and applies a filter that another screen has left."""
        await self._open_feed()
        remembered = self.session.recall("live.filter", "")
        if remembered != self._applied_filter:
            self.query_one(FilterBar).set_text(remembered)
            await self._apply_filter(self.current_filter)

    async def prepare(self) -> None:
        """Reads the newest rows ahead of time."""
        await self.load()
        # The focus changes how the tail looks: with it now, the tail is not painted twice when the screen opens.
        self.set_focus(self.query_one(Tail))
        if not self.is_current and self._feed is not None:
            self._feed.pause()

    async def _open_feed(self) -> None:
        if self._feed is None:
            open_reader, tail = await self.backend.call(queries.audit_reader), self.query_one(Tail)
            feed = TailFeed(
                open_reader, on_rows=self._post_rows, on_page=self._post_page, on_error=self._post_error
            )
            feed.open()
            self._feed = tail.feed = feed

    # Called from the feed's threads.

    def _post_rows(self, rows: TailRows, older: int, newer: int) -> None:
        self.query_one(Tail).post_message(Tail.Rows(rows, newer))

    def _post_page(self, rows: TailRows, page: PageKey) -> None:
        self.query_one(Tail).post_message(Tail.Page(rows, page))

    def _post_error(self, error: Exception) -> None:
        self.app.call_later(self.toasts.show_error, error, "The audit can't be read")

    def on_screen_suspend(self) -> None:
        """Pauses the feed."""
        if self._feed is not None:
            self._feed.pause()

    def on_screen_resume(self) -> None:
        """Resumes the feed, and applies a filter that another screen has left."""
        if not self.is_current:
            return
        if self._feed is not None:
            self._feed.resume()
        if self.session.recall("live.filter", "") != self._applied_filter:
            # The base class's handler, which comes after this one, then loads.
            self.is_stale = True

    async def on_unmount(self) -> None:
        """Ends the feed."""
        if self._feed is not None:
            await asyncio.to_thread(self._feed.close)

    # The filter.

    def apply_filter(self, wanted: Filter) -> None:
        """Applies the filter once no key has come for a moment."""
        self.start_work(partial(self._apply_filter_later, wanted), "filter", exclusive=True)

    async def _apply_filter_later(self, wanted: Filter) -> None:
        await asyncio.sleep(FILTER_DELAY_S)
        await self._apply_filter(wanted)

    async def _apply_filter(self, wanted: Filter) -> None:
        tail, feed = self.query_one(Tail), self._feed
        if feed is None or wanted.text == self._applied_filter:
            return
        try:
            query = build_query(wanted, await self.backend.call(queries.now))
        except InvalidFilterField as bad:
            self.query_one(FilterBar).show_count(describe_error(bad))
            return
        self._applied_filter = wanted.text
        self.session.remember("live.filter", wanted.text)
        tail.show(feed.show_all() if query is None else feed.show_matches(query))
        tail.border_title = "Audit" if query is None else f"Audit · {wanted.text}"
        self._show_count()

    def on_tail_moved(self, _: Tail.Moved) -> None:
        """Shows the entry under the cursor while the detail is open."""
        if self.query_one(FilterBar).has_class("-open"):
            self._show_count()
        if self.query_one(EntryDetail).display:
            self._show_entry()

    def _show_count(self) -> None:
        source = self.query_one(Tail).rows
        words = pluralize(source.count, "entry", "entries")
        more = "" if getattr(source, "complete", True) else "+ (more)"
        self.query_one(FilterBar).show_count(words + more)

    # One entry.

    def on_tail_opened(self, _: Tail.Opened) -> None:
        """Opens the detail."""
        self.query_one(EntryDetail).display = True
        self._show_entry()
        self.query_one(EntryDetail).focus()

    def go_back(self) -> bool:
        """Closes the detail."""
        detail = self.query_one(EntryDetail)
        if not detail.display:
            return False
        detail.display = False
        self.query_one(Tail).focus()
        return True

    def _show_entry(self) -> None:
        self.start_work(self._read_entry, "entry", exclusive=True)

    async def _read_entry(self) -> None:
        entry = await self._selected_entry()
        if entry is None or self._feed is None:
            self.query_one(EntryDetail).clear()
            return
        history = await asyncio.wrap_future(self._feed.read_history(entry.record)) if entry.record else []
        self.query_one(EntryDetail).show(entry, history)

    async def _selected_entry(self) -> AuditEntry | None:
        """Reads the whole entry under the cursor."""
        row, feed = self.query_one(Tail).selected_row, self._feed
        if row is None or feed is None:
            return None
        if self._entry is None or self._entry.position != row.seq:
            self._entry = await asyncio.wrap_future(feed.read_entry(row.seq))
        return self._entry

    # Acting on it.

    def action_copy_json(self) -> None:
        """Copies the entry as JSON."""
        self.start_work(self._copy_json, "copy")

    async def _copy_json(self) -> None:
        entry = await self._selected_entry()
        if entry is not None:
            copy(self, encode_json(asdict(entry), indent=2), f"entry {entry.position}")

    def action_copy_curl(self) -> None:
        """Copies the entry's request as curl."""
        self.start_work(self._copy_curl, "copy")

    async def _copy_curl(self) -> None:
        entry = await self._selected_entry()
        request = entry.request if entry else None
        if entry is None or request is None:
            self.toasts.show("This entry has no request: it is a decision, or nothing had to be sent.")
            return
        if request.get("folded"):
            self.toasts.show("The request's body is old and was folded away.", severity="warning")
            return
        method, path = str(request.get("method")), str(request.get("path"))
        text = curl_command(method, path, request.get("body"), entry.revision or "", self.backend.address)
        copy(self, text, "the request as curl")

    def action_only(self) -> None:
        """Filters by the record of the entry."""
        row = self.query_one(Tail).selected_row
        if row is not None and row.record:
            self.query_one(FilterBar).set_text(f'record:"{row.record}"')

    def action_pause(self) -> None:
        """Pauses or resumes the entry's workflow."""
        row = self.query_one(Tail).selected_row
        if row is not None and row.workflow:
            self.start_work(partial(self._pause, row.workflow), "order", exclusive=True)

    async def _pause(self, workflow: str) -> None:
        states = {state.workflow: state.status for state in await self.backend.call(queries.workflow_states)}
        await pause_or_resume(self, workflow, states.get(workflow, "active"))

    def action_hold(self) -> None:
        """Holds the entry's step."""
        row = self.query_one(Tail).selected_row
        if row is not None and row.workflow and row.step:
            self.start_work(partial(self._hold, row.workflow, row.step), "order", exclusive=True)

    async def _hold(self, workflow: str, step: str) -> None:
        holding = self.backend.submit("hold", workflow=workflow, step=step)
        if (await self.with_progress(f"Holding {step}", holding))["placed"]:
            self.toasts.show(f"{workflow}, step {step} is held: its operations wait. r releases it.")
        else:
            self.toasts.show(f"{workflow}, step {step} is held already. r releases it.")

    def action_release(self) -> None:
        """Releases the entry's step."""
        row = self.query_one(Tail).selected_row
        if row is not None and row.workflow and row.step:
            self.start_work(
                partial(self._release, row.workflow, row.step), "order", exclusive=True, asks_question=True
            )

    async def _release(self, workflow: str, step: str) -> None:
        holds = await self.backend.call(queries.holds)
        held = [hold for hold in holds if (hold.workflow, hold.step) == (workflow, step)]
        if held:
            await release_holds(self, held)
            return
        self.toasts.show(f"{workflow}, step {step} is not held.")

    def action_retry(self) -> None:
        """Retries the failures of the entry's record."""
        row = self.query_one(Tail).selected_row
        if row is not None and row.workflow and row.record:
            self.start_work(partial(self._retry, row.workflow, row.record), "order", exclusive=True)

    async def _retry(self, workflow: str, record: str) -> None:
        failures = await self.backend.call(queries.failures, workflow, 100_000)
        ids = [failure.id for failure in failures if failure.record == record]
        if not ids:
            self.toasts.show(f"Nothing of record {record} is failed now.")
            return
        await self.with_progress("Trying again", self.backend.submit("retry", ids=ids))
        self.toasts.show(
            f"Record {record} is tried again"
            + ("." if self.askel.head.daemon_running else ", once a daemon runs.")
        )

    def action_daemon(self) -> None:
        """Starts a daemon, or ends the one started here."""
        self.askel.daemon.toggle(runs=self.askel.head.daemon_running)
