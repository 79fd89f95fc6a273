"""Columns, rows and notices of Overview. Pure; a state has a sign and a word, never a colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.content import Content

from askel_tui.core.hold_causes import hold_cause
from askel_tui.text.numbers import abbreviate_count
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_age, format_time_of_day
from askel_tui.tui.text.charts import sparkline
from askel_tui.tui.widgets.rows import Row
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from askel_tui.services.status import ConnectionStatus, HoldStatus, WorkflowStatus
    from askel_tui.store.journal.notice_rows import Notice

WELCOME = (
    "Nothing is connected yet.\n\n"
    "Press 2 to connect a Klaviyo account with its private key.\n"
    "To try it first: `askel sandbox` in another terminal is a Klaviyo account on this machine; "
    "`askel demo` is the whole story."
)

WORKFLOW_COLUMNS = (
    Column("workflow", 14, 3),
    Column("state", 8),
    Column("waits", 7, align_right=True),
    Column("held", 5, align_right=True),
    Column("failed", 6, align_right=True),
    Column("sent", 6, align_right=True),
    Column("last min", 8, 1),
)

HOLD_COLUMNS = (
    Column("held step", 18, 2),
    Column("why", 22, 2),
    Column("since", 6, align_right=True),
    Column("waits", 6, align_right=True),
)

CONNECTION_COLUMNS = (Column("connection", 12, 2), Column("account", 8, 1), Column("state", 11))

STATE_CELLS = {
    "active": ("● active", "$success"),
    "paused": ("‖ paused", "$warning"),
    "draft": ("○ draft", "$foreground-muted"),
    "direct": ("→ direct", "$foreground-muted"),
    "connected": ("● connected", "$success"),
    "key_refused": ("✗ refused", "$error"),
    "retired": ("✗ retired", "$error"),
    "other_account": ("✗ other a/c", "$error"),
}

MAX_NOTICES_SHOWN = 5

RECENT_BUCKETS = 3
"""The number of steps of the throughput whose mean is shown as the present rate."""


def workflow_row(row: WorkflowStatus, rates: Sequence[float]) -> Row:
    """Makes the row of a workflow; `rates` are its operations a second in the last minute, oldest first."""
    recent = sum(rates[-RECENT_BUCKETS:]) / RECENT_BUCKETS
    has_draft = row.newest and row.version and row.newest > row.version > 0
    draft = f" (v{row.newest} is a draft)" if has_draft else ""
    return row.name, (
        f"{row.name} v{row.version}{draft}" if row.version else row.name,
        STATE_CELLS.get(row.state, (row.state, "")),
        abbreviate_count(row.waiting) + (f" +{abbreviate_count(row.unplanned)}" if row.unplanned else ""),
        (abbreviate_count(row.held), "bold $warning" if row.held else ""),
        (abbreviate_count(row.failed), "bold $error" if row.failed else ""),
        abbreviate_count(row.sent),
        sparkline(rates, 8) + (f" {recent:.0f}/s" if recent >= 0.5 else ""),
    )


def hold_key(hold: HoldStatus) -> str:
    """Returns the key of a hold's row."""
    return f"{hold.workflow}\0{hold.version}\0{hold.step}"


def hold_name(hold: HoldStatus) -> str:
    """Names the held step, for sentences."""
    return f"{hold.workflow}, step {hold.step}"


def hold_row(hold: HoldStatus, now_ms: int) -> Row:
    """Makes the row of a hold, the step first: the name of a long workflow may be cut."""
    more = f" +{len(hold.reasons) - 1}" if len(hold.reasons) > 1 else ""
    return hold_key(hold), (
        f"{hold.step} ‹ {hold.workflow}",
        (f"! {hold_cause(hold.cause).short}{more}", "$warning"),
        format_age(hold.since, now_ms),
        f"{hold.waiting:,}",
    )


def connection_row(row: ConnectionStatus) -> Row:
    """Makes the row of a connection."""
    state = STATE_CELLS.get(row.state, (row.state, "$warning"))
    return row.name, (row.name, row.account or "unknown", state)


def notices_content(notices: Sequence[Notice]) -> Content:
    """Composes the newest notices, the newest first."""
    if not notices:
        return Content.styled("None so far.", "$foreground-muted")
    parts: list[Any] = []
    for notice in reversed(notices[-MAX_NOTICES_SHOWN:]):
        time = format_time_of_day(notice.at)
        parts += [(f"{time} ", "$foreground-muted"), f"{sanitize(notice.text)}\n"]
    return Content.assemble(*parts).rstrip()
