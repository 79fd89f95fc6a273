"""Failed: what did not arrive, by reason; another try, giving up, or a file of it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from askel_tui.tui.screens.failed import view
from askel_tui.tui.shell.base_screen import AskelScreen
from askel_tui.tui.text.exports import as_csv, as_json, write_new
from askel_tui.tui.text.figures import ago, moment, plural
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.text.inert import inert, pretty
from askel_tui.tui.widgets.detail_pane import Facts, Line
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Column, Row, Table
from askel_tui.tui.widgets.text_prompt import Ask

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import Failure, StoredRecord

MOST = 2_000
"""Failures that are read at once, the oldest ones."""

NOTHING = (
    "Nothing failed.\n\n"
    "A record or a write that Klaviyo refuses is kept here, whole, until it is tried again or given up."
)


class FailedScreen(AskelScreen):
    """Failures by reason, and what can be done about them."""

    NAME = "failed"
    CSS_PATH = "failed.tcss"
    HELP = (
        "What failed, grouped by reason. On a reason, r tries all of its failures again and x gives them up; on a "
        "failure it is that one, or those marked with the space bar. R and X act on everything that is shown, so "
        "filter first with /. Mend the cause before: f goes to the row of the workflow that failed, with the record as "
        "its sample; a key is mended on Connections (2). e writes what is shown into a CSV or JSON file."
    )
    FILTERS = True
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
        self._shown: list[Failure] = []
        self._groups: list[view.Group] = []
        self._marked: set[int] = set()
        self._records: dict[tuple[str, str], StoredRecord | None] = {}
        self._more = False
        self._now = 0

    def body(self) -> ComposeResult:
        """Reasons, the failures of the reason under the cursor, and the failure under the cursor."""
        yield Static(Content(NOTHING), id="all-well")
        with Container(id="panes"):
            with Vertical(id="tables"):
                yield Table(
                    (Column("why", 24, 3), Column("where", 16, 2), Column("times", 5, right=True)),
                    id="groups",
                    classes="panel",
                    hint="r retry · x discard",
                    jump_key="g",
                    about=Help("Reasons", "r tries all failures of a reason again, x gives them up."),
                )
                yield Table(
                    (
                        Column("", 1),
                        Column("record", 14, 2),
                        Column("profile", 16, 2),
                        Column("since", 6, right=True),
                    ),
                    id="failures",
                    classes="panel",
                    hint="space marks",
                    jump_key="f",
                    about=Help("Failures", "Space marks; r and x act on those marked, else on the one here."),
                )
            yield Facts(id="detail", classes="panel", jump_key="d")

    async def load(self) -> None:
        """Reads the oldest failures."""
        found = await self.backend.failures(None, MOST + 1)
        self._more = len(found) > MOST
        self._failures = found[:MOST]
        self._now = await self.backend.now()
        self._marked &= {each.id for each in found}
        self._show()

    # What is shown.

    def _show(self) -> None:
        self.query_one("#all-well").display = not self._failures
        self.query_one("#panes").display = bool(self._failures)
        wanted = self.wanted
        self._shown = [each for each in self._failures if wanted.fits(view.searched(each))]
        self._groups = view.groups(self._shown)
        table = self.query_one("#groups", Table)
        table.fill(
            [(group.key, (group.told, group.where, f"{len(group.failures):,}")) for group in self._groups]
        )
        more = "+, the oldest" if self._more else ""
        table.border_title = f"{plural(len(self._groups), 'reason')}, {len(self._shown):,}{more} failed"
        self.query_one(FilterBar).count(f"{len(self._shown):,} of {len(self._failures):,}{more}")
        if self.focused is None and self._failures:
            table.focus()
        self._show_failures()

    def _show_failures(self) -> None:
        group = self._group
        table = self.query_one("#failures", Table)
        table.fill([self._row(each) for each in group.failures] if group else [])
        marked = f", {len(self._marked):,} marked" if self._marked else ""
        table.border_title = f"{plural(len(group.failures), 'failure')}{marked}" if group else ""
        self._describe()

    def _row(self, failure: Failure) -> Row:
        mark = ("✓", "bold $accent") if failure.id in self._marked else ""
        who = failure.operation.operation.profile.label() if failure.operation else "not planned"
        return str(failure.id), (mark, failure.record, who, ago(failure.at, self._now))

    @property
    def _group(self) -> view.Group | None:
        key = self.query_one("#groups", Table).key
        return next((group for group in self._groups if group.key == key), None)

    @property
    def _failure(self) -> Failure | None:
        group, key = self._group, self.query_one("#failures", Table).key
        return next((each for each in group.failures if str(each.id) == key), None) if group else None

    def _describe(self) -> None:
        pane, failure = self.query_one("#detail", Facts), self._failure
        if failure is None:
            pane.show("", (), "Nothing fits. Esc takes the filter back." if self._failures else "")
            return
        stored = failure.operation
        lines: list[Line] = [
            ("why", view.why(failure), "bold"),
            ("step", failure.step or "planning: nothing was written"),
            ("record", failure.record),
            ("workflow", f"{failure.workflow} v{failure.version}"),
            ("at", moment(failure.at)),
            ("id", str(failure.id)),
        ]
        parts = []
        if stored is not None:
            lines.insert(2, ("profile", stored.operation.profile.label()))
            parts.append(f"Would be sent: {stored.operation.call}\n{pretty(stored.operation.body)}")
        named = (failure.connection, failure.record)
        record = self._records.get(named)
        if record is not None:
            parts.append(f"The record\n{pretty(record.record.as_dict())}")
        elif named not in self._records:
            self._records[named] = None
            self.start(partial(self._read_record, named), group="record")
        pane.show("", lines, "\n\n".join(parts))

    async def _read_record(self, named: tuple[str, str]) -> None:
        self._records[named] = await self.backend.record(*named)
        self._describe()

    def filtered(self, wanted: Filter) -> None:
        """Filters while one types."""
        self._show()

    def on_data_table_row_highlighted(self, event: Table.RowHighlighted) -> None:
        """Another row is under the cursor."""
        if event.data_table.id == "groups":
            self._show_failures()
        else:
            self._describe()

    def on_data_table_row_selected(self, event: Table.RowSelected) -> None:
        """Enter goes one pane further."""
        self.query_one("#failures" if event.data_table.id == "groups" else "#detail").focus()

    def back(self) -> bool:
        """The pane before, and then the marks are taken back."""
        order = [self.query_one("#groups"), self.query_one("#failures"), self.query_one("#detail")]
        if self.focused in order[1:]:
            order[order.index(self.focused) - 1].focus()
            return True
        if self._marked:
            self._marked.clear()
            self._show_failures()
            return True
        return False

    # Acting.

    def _chosen(self) -> list[Failure]:
        """Those marked; else the reason's, or the one under the cursor."""
        if self._marked:
            return [each for each in self._failures if each.id in self._marked]
        failure, group = self._failure, self._group
        if self.focused is self.query_one("#groups"):
            return list(group.failures) if group else []
        return [failure] if failure else []

    def action_mark(self) -> None:
        """Marks the failure under the cursor, or all of the reason; or takes the mark back."""
        group, failure = self._group, self._failure
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
        """Tries again."""
        self._retry(self._chosen())

    def action_retry_all(self) -> None:
        """Tries everything that is shown again."""
        self._retry(list(self._shown))

    def _retry(self, chosen: list[Failure]) -> None:
        if chosen:
            self.start(partial(self._retrying, chosen), group="order", exclusive=True, asks=True)

    async def _retrying(self, chosen: list[Failure]) -> None:
        count = plural(len(chosen), "failure")
        if len(chosen) > 1 and not await self.confirm(
            f"Try {count} again?",
            f"{_causes(chosen)}\n\nWhat failed in planning is planned anew; what Klaviyo refused is sent again.",
        ):
            return
        result = await self.busy("Retrying", self.backend.retry_failures([each.id for each in chosen]))
        self._marked.clear()
        sent = "the daemon does it now" if self.askel.head.daemon else "a daemon does it once one runs"
        self.askel.say(f"{plural(result['retried'], 'failure')} will be tried again: {sent}.")
        await self.load()

    def action_discard(self) -> None:
        """Gives up."""
        self._discard(self._chosen())

    def action_discard_all(self) -> None:
        """Gives up everything that is shown."""
        self._discard(list(self._shown))

    def _discard(self, chosen: list[Failure]) -> None:
        if chosen:
            self.start(partial(self._discarding, chosen), group="order", exclusive=True, asks=True)

    async def _discarding(self, chosen: list[Failure]) -> None:
        count = plural(len(chosen), "failure")
        detail = f"{_causes(chosen)}\n\nThey will never be written; the audit keeps them."
        if not await self.confirm(f"Give up {count}?", detail, typed=str(len(chosen))):
            return
        result = await self.busy("Discarding", self.backend.discard_failures([each.id for each in chosen]))
        self._marked.clear()
        self.askel.say(f"{plural(result['discarded'], 'failure')} discarded.")
        await self.load()

    def action_mend(self) -> None:
        """To the row of the workflow that failed, with the record that failed as the sample."""
        failure = self._failure
        if failure is None:
            return
        if failure.connection != self.connection:
            self.askel.choose(failure.connection)
        first = failure.problems[0] if failure.problems else {}
        place = {"step": first.get("step") or failure.step, "field": first.get("field")}
        self.askel.remember("mapping.workflow", failure.workflow)
        self.askel.remember("mapping.mend", {"record": failure.record, **place})
        self.askel.action_show("mapping")

    def action_export(self) -> None:
        """Writes what is shown into a file."""
        if self._shown:
            self.start(partial(self._export, list(self._shown)), group="export", exclusive=True, asks=True)

    async def _export(self, chosen: list[Failure]) -> None:
        name = await self.askel.push_screen_wait(
            Ask(
                f"Export {plural(len(chosen), 'failure')} to which file?",
                "Its name ends in .csv or .json. It holds what was to be written: personal data.",
                value=self.askel.recall("failed.export", "failed.csv"),
            )
        )
        if name is None:
            return
        file = Path(name)
        if file.suffix.lower() not in (".csv", ".json"):
            self.askel.say("Its name has to end in .csv or .json.", title="Not exported", severity="warning")
            return
        self.askel.remember("failed.export", name)
        rows = [view.export_row(each) for each in chosen]
        csv = file.suffix.lower() == ".csv"
        text = (
            as_csv(view.HEADERS, [list(row.values()) for row in rows]) if csv else as_json({"failed": rows})
        )
        try:
            place = await asyncio.to_thread(write_new, file, text)
        except FileExistsError:
            if not await self.confirm(f"Replace {inert(name)}?", "A file of that name exists."):
                return
            place = await asyncio.to_thread(write_new, file, text, replace=True)
        self.askel.say(f"{plural(len(chosen), 'failure')} written to {place.resolve()}.", title="Exported")


def _causes(chosen: list[Failure]) -> str:
    """The reasons of failures, the most frequent ones."""
    found = view.groups(chosen)
    lines = [
        f"{len(group.failures):,} × {inert(group.told, 100)} ({inert(group.where, 60)})"
        for group in found[:5]
    ]
    return "\n".join(lines + ([f"and {plural(len(found) - 5, 'other reason')}"] if len(found) > 5 else []))
