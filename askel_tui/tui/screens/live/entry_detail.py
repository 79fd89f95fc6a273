"""The pane for one whole audit entry: actor, target, request, response, and the history of its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.core.planning.disposition import describe_gate_answer
from askel_tui.core.requests.differences import describe_differences
from askel_tui.store.journal.tables.audit.tail import TailRow
from askel_tui.text.json_text import format_json, format_value
from askel_tui.text.sanitizing import sanitize, sanitize_lines
from askel_tui.text.times import format_time_of_day, format_timestamp
from askel_tui.tui.screens.live.columns import RESULT_LABELS
from askel_tui.tui.widgets.help import Help

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import AuditEntry

STYLE_BY_PART = {
    "good": "$success",
    "doubt": "$warning",
    "bad": "$error",
    "muted": "$foreground-muted",
    "text": "",
}

MAX_PAYLOAD_CHARS = 20_000
"""The number of characters of a payload that are shown; copying takes all of it."""


class EntryDetail(VerticalScroll, can_focus=True):
    """The pane for an entry; it is empty until `show` is called."""

    jump_key = "d"
    help = Help(
        "An entry", "Scroll with the arrows; y copies it as JSON, c its request as curl, Esc closes it."
    )

    def compose(self) -> ComposeResult:
        """Composes one text."""
        yield Static(id="entry-text")

    def show(self, entry: AuditEntry, history: Sequence[TailRow]) -> None:
        """Shows an entry and the history of its record."""
        self.border_title = f"Entry {entry.position:,}"
        self.query_one("#entry-text", Static).update(entry_content(entry, history))

    def clear(self) -> None:
        """Clears the pane."""
        self.border_title = "Entry"
        self.query_one("#entry-text", Static).update("")


def entry_content(entry: AuditEntry, history: Sequence[TailRow]) -> Content:
    """Composes the text of an entry, without control characters."""
    word, part = RESULT_LABELS.get(entry.status, (entry.status, "doubt"))
    parts: list[Any] = [(sanitize(word), f"bold {STYLE_BY_PART[part]}"), f"  {sanitize(entry.kind)}\n"]
    target = entry.target or {}
    named = f"{target.get('type', '')} {target.get('name', '')}".strip()
    for name, value in (
        ("at", format_timestamp(entry.at, milliseconds=True)),
        ("by", entry.actor),
        ("claims", entry.claimed),
        ("connection", entry.connection),
        ("workflow", entry.workflow),
        ("step", entry.step),
        ("record", entry.record),
        ("profile", ", ".join(str(each) for each in (entry.profile or {}).values())),
        ("target", named + (f" ({target['id']})" if target.get("id") else "")),
        ("attempts", entry.attempts or None),
        ("took", None if entry.ms is None else f"{entry.ms:,} ms"),
        ("revision", entry.revision),
        ("key", entry.key),
        ("operation", entry.operation),
        ("chain", f"{entry.chain}, entry {entry.seq:,}"),
        ("hash", entry.hash[:16] + "…"),
    ):
        if value:
            parts += [(f"{name:<11}", "$foreground-muted"), f"{format_value(value)}\n"]
    if entry.response:
        parts += _response(entry.response)
    if entry.request:
        parts += _request(entry.request)
    if len(history) > 1:
        parts.append(("\nLife of the record\n", "bold $primary"))
        for row in history:
            sign, style = RESULT_LABELS.get(row.status, (row.status, "doubt"))
            here = "▸ " if row.seq == entry.position else "  "
            parts += [
                f"{here}{format_time_of_day(row.at)} ",
                (f"{sanitize(sign):<13} ", STYLE_BY_PART[style]),
                f"{sanitize(row.step or row.kind)} {sanitize(row.target or row.detail)}\n",
            ]
    return Content.assemble(*parts).rstrip()


def _response(response: Any) -> list[Any]:
    status = response.get("status")
    parts: list[Any] = [("\nAnswer", "bold $primary"), f" {format_value(status)}\n" if status else "\n"]
    if response.get("detail") is not None:
        detail = response["detail"]
        parts.append((sanitize_lines(detail) if isinstance(detail, str) else format_json(detail)) + "\n")
    if response.get("gate"):
        parts.append(sanitize_lines(describe_gate_answer(response["gate"])) + "\n")
    if response.get("differences"):
        parts.append((sanitize_lines(describe_differences(response["differences"])) + "\n", "$warning"))
    if response.get("body") not in (None, "", {}):
        parts.append(_shorten(format_json(response["body"])) + "\n")
    return parts


def _request(request: Any) -> list[Any]:
    parts: list[Any] = [
        ("\nRequest", "bold $primary"),
        f" {format_value(request.get('method'))} {format_value(request.get('path'))}\n",
    ]
    if request.get("folded"):
        parts.append(("The body is old and was folded away; its digest is kept.\n", "$foreground-muted"))
    elif request.get("body") is not None:
        parts.append(_shorten(format_json(request["body"])) + "\n")
    return parts


def _shorten(text: str) -> str:
    if len(text) <= MAX_PAYLOAD_CHARS:
        return text
    return text[:MAX_PAYLOAD_CHARS] + f"…\n({len(text):,} characters; y copies all)"
