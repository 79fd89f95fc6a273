"""Failed: the records and writes that did not arrive, by reason; retrying, discarding and exporting them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_age
from askel_tui.tui.backend import queries
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.failed import view
from askel_tui.tui.screens.file_dialog import export_to_file
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.widgets.detail_pane import DetailPane
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.rows import Row
from askel_tui.tui.widgets.table import Table

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import Failure, StoredRecord

MAX_FAILURES_READ = 2_000
"""The number of failures that are read at once, the oldest first."""

EMPTY_TEXT = (
    "Nothing failed.\n\n"
    "A record or a write that Klaviyo refuses is kept here, whole, until it is tried again or given up."
)


class FailedScreen(AskelScreen):
    """Tables of reasons and failures, the details of one failure, and the actions on them."""

    NAME = "failed"
    CSS_PATH = "failed.tcss"
    HELP = (
        "What failed, grouped by reason. On a reason, r tries all of its failures again and x gives them up; on a "
        "failure it is that one, or those marked with the space bar. R and X act on everything that is shown, so "
        "filter first with /. Mend the cause before: f goes to the row of the workflow that failed, with the record as "
        "its sample; a key is mended on Connections (2). e writes what is shown into a CSV or JSON file. The filter "
        "discarded:yes shows what was discarded; r takes it up again."
    )
    HAS_FILTER = True
    FILTER_FIELDS = ("discarded",)
    BINDINGS: ClassVar[list[Any]] = [
        Binding("r", "retry", "Retry", id="failed.retry", tooltip="The reason, the failure, or those marked"),
        Binding("R", "retry_all", "Retry all", id="failed.retry_all", tooltip="Everything that is shown"),
        Binding("space", "mark", "Mark", id="failed.mark", tooltip="Several failures for r and x"),
        Binding("x", "discard", "Discard", id="failed.discard", tooltip="Gives up; the audit keeps it"),
        Binding("X", "discard_all", "Discard all", show=False, id="failed.discard_all"),
        Binding("e", "export", "Export", id="failed.export", tooltip="What is shown, as CSV or JSON"),
        Binding("f", "mend", "Fix", id="failed.fix", tooltip="Goes to the row on Mapping, with this record"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._failures: list[Failure] = []
        """The oldest failures of all workflows, or the oldest discarded ones."""
        self._are_discarded = False
        """True if what was discarded is shown."""
        self._shown: list[Failure] = []
        """The failures that match the filter."""
        self._groups: list[view.FailureGroup] = []
        self._marked: set[int] = set()
        self._records: dict[tuple[str, str], StoredRecord | None] = {}
        """The records that were read, by connection and record id; None while one is being read, or is gone."""
        self._has_more = False
        self._now_ms = 0

    def body(self) -> ComposeResult:
        """Composes the reasons, the failures of the selected reason, and the details of the selected failure."""
        yield Static(Content(EMPTY_TEXT), id="all-well")
        with Container(id="panes"):
            with Vertical(id="tables"):
                yield Table(
                    view.GROUP_COLUMNS,
                    id="groups",
                    classes="panel",
                    hint="r retry · x discard",
                    jump_key="g",
                    about=Help("Reasons", "r tries all failures of a reason again, x gives them up."),
                )
                yield Table(
                    view.FAILURE_COLUMNS,
                    id="failures",
                    classes="panel",
                    hint="space marks",
                    jump_key="f",
                    about=Help("Failures", "Space marks; r and x act on those marked, else on the one here."),
                )
            yield DetailPane(id="detail", classes="panel", jump_key="d")

    async def load(self) -> None:
        """Reads the oldest failures."""
        self._are_discarded = self._wants_discarded(self.current_filter)
        found = await self.backend.call(
            queries.failures, None, MAX_FAILURES_READ + 1, discarded=self._are_discarded
        )
        self._has_more = len(found) > MAX_FAILURES_READ
        self._failures = found[:MAX_FAILURES_READ]
        self._now_ms = await self.backend.call(queries.now)
        self._marked &= {each.id for each in found}
        self._show()

    @staticmethod
    def _wants_discarded(wanted: Filter) -> bool:
        return wanted.fields.get("discarded") == "yes"

    def _show(self) -> None:
        self.query_one("#all-well").display = not self._failures
        self.query_one("#panes").display = bool(self._failures)
        wanted = self.current_filter
        self._shown = [each for each in self._failures if wanted.matches(view.search_text(each))]
        self._groups = view.group_failures(self._shown)
        table = self.query_one("#groups", Table)
        table.set_rows(
            [
                (group.key, (group.reason_text, group.step_label, f"{len(group.failures):,}"))
                for group in self._groups
            ]
        )
        more = "+, the oldest" if self._has_more else ""
        word = "record" if len(self._shown) == 1 else "records"
        table.border_title = (
            f"{pluralize(len(self._groups), 'reason')}, {len(self._shown):,}{more} {word} "
            f"{'discarded' if self._are_discarded else 'failed'}"
        )
        self.query_one(FilterBar).show_count(f"{len(self._shown):,} of {len(self._failures):,}{more}")
        if self.focused is None and self._failures:
            table.focus()
        self._show_failures()

    def _show_failures(self) -> None:
        group = self._selected_group
        table = self.query_one("#failures", Table)
        table.set_rows([self._row(each) for each in group.failures] if group else [])
        marked = f", {len(self._marked):,} marked" if self._marked else ""
        table.border_title = f"{pluralize(len(group.failures), 'failure')}{marked}" if group else ""
        self._describe()

    def _row(self, failure: Failure) -> Row:
        mark = ("✓", "bold $accent") if failure.id in self._marked else ""
        profile = view.profile_label(failure) or "not planned"
        return str(failure.id), (mark, failure.record, profile, format_age(failure.at, self._now_ms))

    @property
    def _selected_group(self) -> view.FailureGroup | None:
        key = self.query_one("#groups", Table).cursor_key
        return next((group for group in self._groups if group.key == key), None)

    @property
    def _selected_failure(self) -> Failure | None:
        group, key = self._selected_group, self.query_one("#failures", Table).cursor_key
        return next((each for each in group.failures if str(each.id) == key), None) if group else None

    def _describe(self) -> None:
        pane, failure = self.query_one("#detail", DetailPane), self._selected_failure
        if failure is None:
            pane.show("", (), "Nothing fits. Esc takes the filter back." if self._failures else "")
            return
        key = (failure.connection, failure.record)
        if key not in self._records:
            self._records[key] = None
            self.start_work(partial(self._read_record, *key), group="record")
        pane.show("", view.detail_lines(failure), view.detail_text(failure, self._records[key]))

    async def _read_record(self, connection: str, record: str) -> None:
        self._records[connection, record] = await self.backend.call(queries.record, connection, record)
        self._describe()

    def apply_filter(self, wanted: Filter) -> None:
        """Shows the failures that match the filter; what was discarded is read first."""
        if self._wants_discarded(wanted) == self._are_discarded:
            self._show()
        else:
            self.start_work(self.load, group="discarded", exclusive=True)

    def on_data_table_row_highlighted(self, event: Table.RowHighlighted) -> None:
        """Shows the details of the row under the cursor."""
        if event.data_table.id == "groups":
            self._show_failures()
        else:
            self._describe()

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Moves to the next pane on Enter."""
        self.query_one("#failures" if event.data_table.id == "groups" else "#detail").focus()

    def go_back(self) -> bool:
        """Moves to the pane before; from the first one, removes the marks."""
        order = [self.query_one("#groups"), self.query_one("#failures"), self.query_one("#detail")]
        if self.focused in order[1:]:
            order[order.index(self.focused) - 1].focus()
            return True
        if self._marked:
            self._marked.clear()
            self._show_failures()
            return True
        return False

    def _failures_to_act_on(self) -> list[Failure]:
        """Returns the marked failures; else those of the reason, or the one, that the cursor is on."""
        if self._marked:
            return [each for each in self._failures if each.id in self._marked]
        failure, group = self._selected_failure, self._selected_group
        if self.focused is self.query_one("#groups"):
            return list(group.failures) if group else []
        return [failure] if failure else []

    def _start_on(
        self,
        work: Callable[[list[Failure]], Awaitable[None]],
        chosen: Sequence[Failure],
        group: str = "order",
    ) -> None:
        """Starts work that asks first, if there are failures to act on."""
        if chosen:
            self.start_work(partial(work, list(chosen)), group=group, exclusive=True, asks_question=True)

    def action_mark(self) -> None:
        """Marks, or unmarks, the failure under the cursor, or all failures of the reason."""
        group, failure = self._selected_group, self._selected_failure
        if group is None or failure is None:
            return
        table = self.query_one("#failures", Table)
        whole = self.focused is self.query_one("#groups")
        ids = {each.id for each in group.failures} if whole else {failure.id}
        self._marked = self._marked - ids if ids <= self._marked else self._marked | ids
        self._show_failures()
        if not whole:
            table.action_cursor_down()

    def action_retry(self) -> None:
        """Retries the marked or selected failures."""
        self._start_on(self._confirm_retry, self._failures_to_act_on())

    def action_retry_all(self) -> None:
        """Retries all failures that are shown."""
        self._start_on(self._confirm_retry, self._shown)

    async def _confirm_retry(self, chosen: list[Failure]) -> None:
        count = pluralize(len(chosen), "failure")
        detail = (
            f"{view.reasons_text(chosen)}\n\n"
            "What failed in planning, or was planned by an older version, is planned anew; what Klaviyo refused "
            "is sent again."
        )
        if len(chosen) > 1 and not await self.confirm(f"Try {count} again?", detail):
            return
        result = await self.with_progress(
            "Retrying", self.backend.submit("retry", ids=[each.id for each in chosen])
        )
        self._marked.clear()
        sent = (
            "the daemon does it now" if self.askel.head.daemon_running else "a daemon does it once one runs"
        )
        self.toasts.show(f"{pluralize(result['retried'], 'failure')} will be tried again: {sent}.")
        await self.load()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides discarding where all is discarded."""
        if self._are_discarded and action in ("discard", "discard_all"):
            return False
        return super().check_action(action, parameters)

    def action_discard(self) -> None:
        """Discards the marked or selected failures."""
        self._start_on(self._confirm_discard, self._failures_to_act_on())

    def action_discard_all(self) -> None:
        """Discards all failures that are shown."""
        self._start_on(self._confirm_discard, self._shown)

    async def _confirm_discard(self, chosen: list[Failure]) -> None:
        count = pluralize(len(chosen), "failure")
        kept = "They are not written; the filter discarded:yes finds them until they are pruned."
        detail = f"{view.reasons_text(chosen)}\n\n{kept}"
        if not await self.confirm(f"Give up {count}?", detail, typed=str(len(chosen))):
            return
        result = await self.with_progress(
            "Discarding", self.backend.submit("discard_failed", ids=[each.id for each in chosen])
        )
        self._marked.clear()
        self.toasts.show(f"{pluralize(result['discarded'], 'failure')} discarded.")
        await self.load()

    def action_mend(self) -> None:
        """Opens Mapping at the row that failed, with the failed record as its sample."""
        failure = self._selected_failure
        if failure is None:
            return
        if failure.connection != self.connection:
            self.askel.choose_connection(failure.connection)
        first = failure.problems[0] if failure.problems else {}
        row = {"step": first.get("step") or failure.step, "field": first.get("field")}
        self.session.remember("mapping.workflow", failure.workflow)
        self.session.remember("mapping.mend", {"record": failure.record, **row})
        self.askel.action_show("mapping")

    def action_export(self) -> None:
        """Exports the shown failures to a file."""
        self._start_on(self._export, self._shown, group="export")

    async def _export(self, chosen: list[Failure]) -> None:
        count = pluralize(len(chosen), "failure")
        file = await export_to_file(
            self,
            partial(view.export_text, chosen),
            title=f"Export {count} to which file?",
            suffixes=view.EXPORT_SUFFIXES,
            contents="It holds what was to be written: personal data.",
            session_key="failed.export",
            default="failed.csv",
        )
        if file is not None:
            self.toasts.show(f"{count} written to {file}.", title="Exported")
