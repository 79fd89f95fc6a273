"""Browse: the lists, segments, flows and so on of the account, searched while one types, and their use in Askel."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import ContentSwitcher, Tab, Tabs

from askel_tui.core.catalog import Catalog
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_age, format_time_of_day
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.screens.browse import view
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.text.fuzzy import rank_matches
from askel_tui.tui.widgets.detail_pane import DetailLine, DetailPane
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Table
from askel_tui.tui.widgets.text_prompt import TextPrompt

MAX_ROWS_SHOWN = 1_000
"""The number of rows that are shown at once; a search finds the others."""

AGE_REFRESH_INTERVAL_S = 60.0
"""The time between two updates of the catalog's age in the title, in seconds."""


class SectionTabs(Tabs, can_focus=False):
    """The tabs of the sections. The screen handles their keys, so that the focus stays with the rows."""


class BrowseScreen(AskelScreen):
    """A table per section of the account's catalog, and the details of the selected entry."""

    NAME = "browse"
    CSS_PATH = "browse.tcss"
    HELP = (
        "What exists in the account, as it was last read; r reads it again. / searches: letters may be left out, "
        "!word excludes. [ and ], or h and l, change the tab. y copies the id, m asks how many members there "
        "are, c asks whether a profile is in the segment. A green number counts the steps that use something."
    )
    HAS_FILTER = True
    RELOADS_ON_COMMIT = False
    RELOADS_ON_RETURN = True
    BINDINGS: ClassVar[list[Any]] = [
        Binding("r", "read", "Read again", id="browse.read", tooltip="Asks Klaviyo now"),
        Binding("y", "copy", "Copy id", id="browse.copy", tooltip="The id, or a property's name"),
        Binding("m", "members", "Members", id="browse.members", tooltip="Asks how many there are"),
        Binding("c", "check", "Check profile", id="browse.check", tooltip="Is this profile in the segment?"),
        Binding("left_square_bracket,h", "turn(-1)", "Tab before", show=False, id="browse.tab_before"),
        Binding("right_square_bracket,l", "turn(1)", "Next tab", show=False, id="browse.tab_next"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._catalog: Catalog | None = None
        self._uses: view.Uses = {}
        self._unreadable_sections: set[str] = set()
        self._answers: dict[tuple[str, str], list[DetailLine]] = {}
        self._catalog_connection: str | None = None
        self._now_ms = 0
        self._section = "lists"

    def body(self) -> ComposeResult:
        """Composes the tabs, the table of the section that was open last, and the details of the selected entry."""
        kept = self.session.recall("browse.tab", "lists")
        self._section = kept if kept in view.SECTIONS else "lists"
        tabs = (Tab(title, id=name) for name, (title, _) in view.SECTIONS.items())
        yield SectionTabs(*tabs, active=self._section)
        with Container(id="panes"):
            with ContentSwitcher(initial=f"table-{self._section}"):
                for name, (title, _) in view.SECTIONS.items():
                    yield Table(
                        view.COLUMNS[name],
                        id=f"table-{name}",
                        classes="panel",
                        title=title,
                        jump_key="t",
                        about=Help(title, "/ searches, y copies the id, Tab goes to the details."),
                    )
            yield DetailPane(id="detail", classes="panel", jump_key="d")

    def on_mount(self) -> None:
        """Shows the section, with the focus on its rows."""
        self._show_section()
        self.set_interval(AGE_REFRESH_INTERVAL_S, self._refresh_age)

    def _refresh_age(self) -> None:
        if self.is_current and self._catalog is not None:
            self.start_work(self._update_age, group="age", exclusive=True)

    async def _update_age(self) -> None:
        self._now_ms = await self.backend.call(queries.now)
        self._update_title()

    async def load(self) -> None:
        """Reads the stored catalog; where there is none yet, reads the account."""
        if self.connection != self._catalog_connection:
            self._answers.clear()
            self._unreadable_sections.clear()
            self._catalog_connection, self._catalog = self.connection, None
        if self.connection is None:
            self._show()
            return
        self._now_ms = await self.backend.call(queries.now)
        self._catalog = await self.backend.call(queries.catalog, self.connection)
        documents = await self.backend.call(queries.workflows)
        read = [
            (doc, (await self.backend.call(queries.parse_workflow, doc.source, doc.workflow))[0])
            for doc in documents
        ]
        self._uses = view.find_uses(read, await self._connections_of_account())
        if self._catalog is not None:
            self._unreadable_sections |= set(self._catalog.unread)
        self._show()
        if self._catalog is None:
            self.action_read()

    async def _connections_of_account(self) -> set[str]:
        connections = await self.backend.call(queries.connections)
        account = next((each.account for each in connections if each.name == self.connection), None)
        same = {each.name for each in connections if account is not None and each.account == account}
        return same | {self.connection or ""}

    @property
    def _table(self) -> Table:
        return self.query_one(f"#table-{self._section}", Table)

    @property
    def _entry(self) -> Any:
        if self._catalog is None:
            return None
        return view.find_entry(self._catalog, self._section, self._table.cursor_key)

    def _show(self) -> None:
        for name, (title, _) in view.SECTIONS.items():
            count = len(view.entries(self._catalog, name)) if self._catalog else 0
            self.query_one(f"#{name}", Tab).label = Content(f"{title} {count:,}" if self._catalog else title)
        self._fill()

    def _fill(self) -> None:
        table, catalog = self._table, self._catalog
        if catalog is None:
            table.set_rows([])
            self._describe()
            return
        every = view.entries(catalog, self._section)
        found = rank_matches(self.current_filter, every, view.search_text)
        table.set_rows(
            [view.table_row(each, self._section, catalog, self._uses) for each in found[:MAX_ROWS_SHOWN]]
        )
        if self.current_filter and found:
            table.move_cursor(row=0)
        self.query_one(FilterBar).show_count(f"{len(found):,} of {view.count_text(catalog, self._section)}")
        is_cut = len(found) > MAX_ROWS_SHOWN
        table.border_subtitle = (
            f"the first {MAX_ROWS_SHOWN:,} are shown, / finds the others" if is_cut else ""
        )
        self._update_title()
        self._describe()

    def _update_title(self) -> None:
        if self._catalog is not None:
            count = view.count_text(self._catalog, self._section)
            self._table.border_title = f"{count}, read {format_age(self._catalog.taken, self._now_ms)} ago"

    def _describe(self) -> None:
        pane = self.query_one("#detail", DetailPane)
        entry, catalog = self._entry, self._catalog
        if entry is None or catalog is None:
            pane.show("", (), self._empty_text())
        else:
            lines: list[DetailLine] = [*view.details(entry, self._section, catalog, self._uses)]
            lines += self._answers.get((self._section, view.entry_key(entry)), [])
            definition = view.definition_json(entry)
            pane.show(entry.name, lines, f"Definition\n{definition}" if definition else "")
            pane.scroll_home(animate=False)
        self.refresh_bindings()

    def _empty_text(self) -> str:
        """Returns the reason why no entry is shown, and what to do."""
        if self.connection is None:
            return "Nothing is connected yet: press 2."
        if self._catalog is None:
            return "The account has not been read yet: r reads it."
        if self._section in self._unreadable_sections:
            scope = view.scope_of(self._section)
            return f"The key lacks {scope}, so they can't be read. A key with it can be given on Connections (2)."
        if self.current_filter:
            return "Nothing fits. Esc takes the search back."
        return "None were found when the account was last read: r reads it again."

    def apply_filter(self, wanted: Filter) -> None:
        """Shows the entries that match the filter, the best first."""
        self._fill()

    def on_data_table_row_highlighted(self) -> None:
        """Shows the details of the row under the cursor."""
        self._describe()

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """Shows the section of the tab."""
        if event.tab.id and event.tab.id != self._section:
            self._section = event.tab.id
            self.session.remember("browse.tab", self._section)
            self._show_section()

    def _show_section(self) -> None:
        focus_is_on_rows = self.focused is None or isinstance(self.focused, Table)
        self.query_one(ContentSwitcher).current = f"table-{self._section}"
        if focus_is_on_rows:
            self._table.focus()
        self._fill()

    def action_turn(self, by: int) -> None:
        """Opens the next tab, or the one before."""
        names = list(view.SECTIONS)
        self.query_one(Tabs).active = names[(names.index(self._section) + by) % len(names)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers counts for lists and segments, and checks of a profile for segments."""
        if action == "members":
            return self._section in ("lists", "segments")
        if action == "check":
            return self._section == "segments"
        return super().check_action(action, parameters)

    def action_read(self) -> None:
        """Reads the account again."""
        if self.connection is not None:
            self.start_work(partial(self._read_account, self.connection), group="read", exclusive=True)

    async def _read_account(self, connection: str) -> None:
        found = await self.with_progress(
            "Reading the account", self.backend.call(services.discover, connection)
        )
        if connection != self.connection:
            return
        self._unreadable_sections = set(found.unreadable_sections)
        self._answers.clear()
        self._now_ms = await self.backend.call(queries.now)
        self._catalog = await self.backend.call(queries.catalog, connection)
        self._show()
        self.toasts.show(f"The account was read at {format_time_of_day(self._now_ms)} UTC.")

    def action_copy(self) -> None:
        """Copies the id, or a property's name."""
        entry = self._entry
        if entry is not None:
            copy(self, view.entry_key(entry), "the name" if self._section == "properties" else "the id")

    def action_members(self) -> None:
        """Asks Klaviyo how many members there are."""
        entry = self._entry
        if entry is not None and self.connection is not None:
            work = partial(self._count_members, self.connection, self._section, entry)
            self.start_work(work, group="members", exclusive=True)

    async def _count_members(self, connection: str, section: str, entry: Any) -> None:
        kind: Literal["list", "segment"] = "list" if section == "lists" else "segment"
        counting = self.backend.call(services.count_members, connection, kind, entry.id)
        found = await self.with_progress("Counting members", counting)
        count = "Klaviyo did not say" if found is None else f"{found:,}"
        await self._add_answer(section, entry, "members", count)

    def action_check(self) -> None:
        """Asks for a profile, then Klaviyo whether it is in the segment."""
        entry = self._entry
        if entry is not None and self.connection is not None:
            work = partial(self._check_profile, self.connection, entry)
            self.start_work(work, group="check", exclusive=True, asks_question=True)

    async def _check_profile(self, connection: str, entry: Any) -> None:
        detail = "An e-mail, a phone number with +, or an external id."
        profile = await self.ask(TextPrompt(f"Who may be in {sanitize(entry.name)}?", detail))
        if not profile:
            return
        found = await self.with_progress(
            "Asking Klaviyo", self.backend.call(services.check_segment, connection, entry.id, profile)
        )
        answer = "✓ is a member" if found["member"] else "✗ is no member"
        await self._add_answer("segments", entry, sanitize(profile, 24), answer)

    async def _add_answer(self, section: str, entry: Any, label: str, answer: str) -> None:
        time = format_time_of_day(await self.backend.call(queries.now))
        lines = self._answers.setdefault((section, view.entry_key(entry)), [])
        lines[:] = [line for line in lines if line[0] != label]
        lines.append((label, f"{answer}, asked at {time}", "bold"))
        self._describe()
