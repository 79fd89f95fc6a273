"""The pane for one record of a dry run: its changes, or its requests as JSON or as curl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.content import Content

from askel_tui.services.json_documents import to_json
from askel_tui.text.json_text import encode_json
from askel_tui.text.sanitizing import sanitize_lines
from askel_tui.tui.screens.dry_run.details import record_details, requests, requests_curl, requests_json
from askel_tui.tui.widgets.detail_pane import DetailPane

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import RecordPreview

MAX_SHOWN_CHARS = 20_000
"""The number of characters of requests that the pane shows; a copy has them all."""

MIN_VALUE_CELLS = 24

TITLES = {"changes": "Changes", "json": "Requests as JSON", "curl": "Requests as curl"}
"""The title of the pane by mode."""


class RecordPane(DetailPane):
    """Shows a record in one of the modes of `TITLES`; values are cut to the pane's width."""

    def __init__(self) -> None:
        super().__init__(id="detail", classes="panel", jump_key="d")
        self.border_subtitle = "v next view · y copies"
        self.mode = "changes"
        self._record: RecordPreview | None = None
        self._revision = ""
        self._address = ""
        self._shown_width = 0

    def set_target(self, revision: str, address: str) -> None:
        """Sets the revision and the base address that the curl commands name."""
        self._revision, self._address = revision, address

    def show_record(self, record: RecordPreview | None) -> None:
        """Shows a record from its beginning; None says that no record matches the filter."""
        self._record = record
        self._shown_width = self.size.width
        self.border_title = TITLES[self.mode]
        self.show_content(self._content())
        self.scroll_home(animate=False)

    def show_next_mode(self) -> None:
        """Shows the record in the next mode."""
        modes = list(TITLES)
        self.mode = modes[(modes.index(self.mode) + 1) % len(modes)]
        self.show_record(self._record)

    def copy_text(self) -> tuple[str, str] | None:
        """Returns the text to copy and its name; the changes are copied as JSON. None where no record is shown."""
        record = self._record
        if record is None:
            return None
        if self.mode == "changes":
            return encode_json(to_json(record), indent=2), "the record's dry run as JSON"
        name = "JSON" if self.mode == "json" else "curl; export KLAVIYO_API_KEY first"
        return self._requests_text(record), f"the requests as {name}"

    def on_resize(self, _: events.Resize) -> None:
        """Cuts values to the new width; a hidden pane has no width."""
        if self._record is not None and self.size.width != self._shown_width:
            self.show_record(self._record)

    def _content(self) -> Content:
        record = self._record
        if record is None:
            return Content("Nothing fits. Esc takes the filter back.")
        if self.mode == "changes":
            width = max(MIN_VALUE_CELLS, self._shown_width - 8)
            return Content.assemble(*record_details(record, width)).rstrip()
        text = self._requests_text(record)
        rest = len(text) - MAX_SHOWN_CHARS
        more = f"\n… {rest:,} characters more: y copies all" if rest > 0 else ""
        return Content(sanitize_lines(text[:MAX_SHOWN_CHARS]) + more)

    def _requests_text(self, record: RecordPreview) -> str:
        if not requests(record):
            return "No request: nothing would be sent for this record."
        if self.mode == "curl":
            return requests_curl(record, self._revision, self._address)
        return requests_json(record)
