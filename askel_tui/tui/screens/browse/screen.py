"""Browse: what exists in the account, searched as one types, and what of it Askel uses."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import ContentSwitcher, Tab, Tabs

from askel_tui.core.catalog import Catalog
from askel_tui.tui.screens.browse import view
from askel_tui.tui.shell.base_screen import AskelScreen
from askel_tui.tui.shell.clipboard import copy
from askel_tui.tui.text.figures import ago, clock, plural
from askel_tui.tui.text.filtering import Filter
from askel_tui.tui.text.fuzzy import ranked
from askel_tui.tui.text.inert import inert
from askel_tui.tui.widgets.detail_pane import Facts, Line
from askel_tui.tui.widgets.filter_bar import FilterBar
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.table import Table
from askel_tui.tui.widgets.text_prompt import Ask

MOST = 1_000
"""Rows that are shown at once; what is further down is found by searching."""

AGE_S = 60.0
"""How often the age of what is shown is brought up to date, in seconds."""

SCOPES = {"properties": "profiles:read"}


class Sections(Tabs, can_focus=False):
    """The tabs. Their keys are the screen's, so that the focus stays with the rows."""


class BrowseScreen(AskelScreen):
    """Lists, segments, flows, templates, metrics and properties of an account."""

    NAME = "browse"
    CSS_PATH = "browse.tcss"
    HELP = (
        "What exists in the account, as it was last read; r reads it again. / searches: letters may be left out, "
        "!word excludes. [ and ], or h and l, change the tab. y copies the id, m asks how many members there "
        "are, c asks whether a profile is in the segment. A green number counts the steps that use something."
    )
    FILTERS = True
    FOLLOWS = False
    RENEWS = True
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
        self._unread: set[str] = set()
        self._asked: dict[tuple[str, str], list[Line]] = {}
        self._of: str | None = None
        self._now = 0
        self._section = "lists"

    def body(self) -> ComposeResult:
        """The tabs, the table of the one that was open last, and what is known about the row under the cursor."""
        kept = self.askel.recall("browse.tab", "lists")
        self._section = kept if kept in view.SECTIONS else "lists"
        tabs = (Tab(title, id=name) for name, (title, _) in view.SECTIONS.items())
        yield Sections(*tabs, active=self._section)
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
            yield Facts(id="detail", classes="panel", jump_key="d")

    def on_mount(self) -> None:
        """The rows have the focus."""
        self._turned()
        self.set_interval(AGE_S, self._aged)

    def _aged(self) -> None:
        if self.is_current and self._catalog is not None:
            self.start(self._age, group="age", exclusive=True)

    async def _age(self) -> None:
        self._now = await self.backend.now()
        self._titled()

    async def load(self) -> None:
        """The catalog as it was last read; where it never was, Klaviyo is asked."""
        if self.connection != self._of:
            self._asked.clear()
            self._unread.clear()
            self._of, self._catalog = self.connection, None
        if self.connection is None:
            self._show()
            return
        self._now = await self.backend.now()
        self._catalog = await self.backend.catalog(self.connection)
        documents = await self.backend.workflows()
        read = [(doc, (await self.backend.read_workflow(doc.source, doc.workflow))[0]) for doc in documents]
        self._uses = view.uses(read, await self._of_account())
        if self._catalog is not None:
            self._unread |= set(self._catalog.unread)
        self._show()
        if self._catalog is None:
            self.action_read()

    async def _of_account(self) -> set[str]:
        connections = await self.backend.connections()
        here = next((each for each in connections if each.name == self.connection), None)
        account = here.account if here else None
        same = {each.name for each in connections if account is not None and each.account == account}
        return same | {self.connection or ""}

    # What is shown.

    @property
    def _table(self) -> Table:
        return self.query_one(f"#table-{self._section}", Table)

    @property
    def _entry(self) -> Any:
        if self._catalog is None:
            return None
        key = self._table.key
        return next(
            (each for each in view.entries(self._catalog, self._section) if view.key(each) == key), None
        )

    def _show(self) -> None:
        for name, (title, _) in view.SECTIONS.items():
            count = len(view.entries(self._catalog, name)) if self._catalog else 0
            self.query_one(f"#{name}", Tab).label = Content(f"{title} {count:,}" if self._catalog else title)
        self._fill()

    def _fill(self) -> None:
        table, catalog = self._table, self._catalog
        if catalog is None:
            table.fill([])
            self._describe()
            return
        every = view.entries(catalog, self._section)
        found = ranked(self.wanted, every, view.searched)
        table.fill([view.row(each, self._section, catalog, self._uses) for each in found[:MOST]])
        if self.wanted and found:
            table.move_cursor(row=0)
        title, word = view.SECTIONS[self._section]
        counted = plural(len(every), word, title.lower())
        self.query_one(FilterBar).count(f"{len(found):,} of {counted}")
        table.border_subtitle = (
            f"the first {MOST:,} are shown, / finds the others" if len(found) > MOST else ""
        )
        self._titled()
        self._describe()

    def _titled(self) -> None:
        if self._catalog is not None:
            title, word = view.SECTIONS[self._section]
            counted = plural(len(view.entries(self._catalog, self._section)), word, title.lower())
            self._table.border_title = f"{counted}, read {ago(self._catalog.taken, self._now)} ago"

    def _describe(self) -> None:
        pane = self.query_one("#detail", Facts)
        entry, catalog = self._entry, self._catalog
        if entry is None or catalog is None:
            pane.show("", (), self._nothing())
        else:
            lines: list[Line] = [*view.facts(entry, self._section, catalog, self._uses)]
            lines += self._asked.get((self._section, view.key(entry)), [])
            definition = view.definition(entry)
            pane.show(entry.name, lines, f"Definition\n{definition}" if definition else "")
            pane.scroll_home(animate=False)
        self.refresh_bindings()

    def _nothing(self) -> str:
        """Why there is nothing to describe, and what to do."""
        if self.connection is None:
            return "Nothing is connected yet: press 2."
        if self._catalog is None:
            return "The account has not been read yet: r reads it."
        if self._section in self._unread:
            scope = SCOPES.get(self._section, f"{self._section}:read")
            return f"The key lacks {scope}, so they can't be read. A key with it can be given on Connections (2)."
        if self.wanted:
            return "Nothing fits. Esc takes the search back."
        return "None were found when the account was last read: r reads it again."

    def filtered(self, wanted: Filter) -> None:
        """Searches while one types."""
        self._fill()

    def on_data_table_row_highlighted(self) -> None:
        """Another row is under the cursor."""
        self._describe()

    # Tabs.

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """Shows the tab's table."""
        if event.tab.id and event.tab.id != self._section:
            self._section = event.tab.id
            self.askel.remember("browse.tab", self._section)
            self._turned()

    def _turned(self) -> None:
        elsewhere = self.focused is not None and not isinstance(self.focused, Table)
        self.query_one(ContentSwitcher).current = f"table-{self._section}"
        if not elsewhere:
            self._table.focus()
        self._fill()

    def action_turn(self, by: int) -> None:
        """The tab beside this one."""
        names = list(view.SECTIONS)
        self.query_one(Tabs).active = names[(names.index(self._section) + by) % len(names)]

    # Acting.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Members are counted of lists and segments, profiles checked against segments."""
        if action == "members":
            return self._section in ("lists", "segments")
        if action == "check":
            return self._section == "segments"
        return super().check_action(action, parameters)

    def action_read(self) -> None:
        """Reads the account again."""
        if self.connection is not None:
            self.start(partial(self._read, self.connection), group="read", exclusive=True)

    async def _read(self, connection: str) -> None:
        found = await self.busy("Reading the account", self.backend.discover(connection))
        if connection != self.connection:
            return
        self._unread = set(found.unread)
        self._asked.clear()
        self._now = await self.backend.now()
        self._catalog = await self.backend.catalog(connection)
        self._show()
        self.askel.say(f"The account was read at {clock(self._now)} UTC.")

    def action_copy(self) -> None:
        """Copies what names the entry in the API."""
        entry = self._entry
        if entry is not None:
            copy(self.askel, view.key(entry), "the name" if self._section == "properties" else "the id")

    def action_members(self) -> None:
        """Asks how many members there are."""
        entry = self._entry
        if entry is not None and self.connection is not None:
            kind: Literal["list", "segment"] = "list" if self._section == "lists" else "segment"
            self.start(partial(self._members, self.connection, kind, entry), group="members", exclusive=True)

    async def _members(self, connection: str, kind: Literal["list", "segment"], entry: Any) -> None:
        section = self._section
        found = await self.busy("Counting members", self.backend.members(connection, kind, entry.id))
        told = "Klaviyo did not say" if found is None else f"{found:,}"
        self._note(section, entry, "members", f"{told}, asked at {clock(await self.backend.now())}")

    def action_check(self) -> None:
        """Asks for a profile, and whether it is in the segment."""
        entry = self._entry
        if entry is not None and self.connection is not None:
            self.start(partial(self._check, self.connection, entry), group="check", exclusive=True, asks=True)

    async def _check(self, connection: str, entry: Any) -> None:
        profile = await self.askel.push_screen_wait(
            Ask(f"Who may be in {inert(entry.name)}?", "An e-mail, a phone number with +, or an external id.")
        )
        if not profile:
            return
        found = await self.busy("Asking Klaviyo", self.backend.segment_check(connection, entry.id, profile))
        told = "✓ is a member" if found["member"] else "✗ is no member"
        self._note(
            "segments", entry, inert(profile, 24), f"{told}, asked at {clock(await self.backend.now())}"
        )

    def _note(self, section: str, entry: Any, label: str, told: str) -> None:
        lines = self._asked.setdefault((section, view.key(entry)), [])
        lines[:] = [line for line in lines if line[0] != label] + [(label, told, "bold")]
        self._describe()
