"""What `/metrics` shows: this process's own numbers, and what the journal says when it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from askel_tui.api.shared.context import ApiContext
from askel_tui.api.shared.metrics import gauge_lines
from askel_tui.core.targets.drift import DRIFT_CAUSES
from askel_tui.services.status import Status, read_status
from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.state.tokens import TokenDoc

MAX_ENTRIES_PER_SCRAPE = 5_000
"""Audit entries that are timed at one scrape; between two scrapes of a busy daemon some are passed over."""

_ACCOUNT_CHANGES = frozenset(DRIFT_CAUSES) - {"key_refused", "other_account", "scope_missing"}
"""Causes of holds that mean the account is no longer what a workflow was built on; those three are about the key."""

_OPERATION_HELP = {
    "waiting": "Operations that wait to be sent.",
    "held": "Operations that a hold keeps.",
    "failed": "Operations that failed and were not discarded.",
    "sent": "Operations that were written or are unconfirmed.",
}


async def render_metrics(context: ApiContext, token: TokenDoc) -> str:
    """The text for a token: its connections' numbers only."""
    await _observe_audit(context)
    status = await read_status(context.instance)
    lines: list[str] = []
    for counted in _process_metrics(context):
        lines += counted.lines()
    lines += _journal_lines(status, token)
    lines += gauge_lines(
        "askel_free_disk_bytes", "Space left where the journal is.", [({}, context.backpressure.free_bytes)]
    )
    lines += gauge_lines(
        "askel_backlog_operations",
        "Operations that wait, of all workflows.",
        [({}, context.backpressure.backlog)],
    )
    lines += gauge_lines(
        "askel_refusing",
        "Whether records are refused for pressure.",
        [({}, int(context.backpressure.reason is not None))],
    )
    if token.connections:
        lines = [each for each in lines if _may_see(each, token)]
    return "\n".join(lines) + "\n"


def _process_metrics(context: ApiContext) -> tuple[Any, ...]:
    numbers = context.metrics
    return (
        numbers.records,
        numbers.requests,
        numbers.request_seconds,
        numbers.klaviyo_call_seconds,
        numbers.record_arrival_seconds,
    )


def _journal_lines(status: Status, token: TokenDoc) -> Iterable[str]:
    rows = [row for row in status.workflows if token.may_use(row.connection or "")]
    for name, text in _OPERATION_HELP.items():
        values = [
            ({"connection": row.connection or "", "workflow": row.name}, getattr(row, name)) for row in rows
        ]
        yield from gauge_lines(f"askel_operations_{name}", text, values)
    planned = [
        (
            {"connection": row.connection or "", "workflow": row.name},
            sum(getattr(row, name) for name in _OPERATION_HELP),
        )
        for row in rows
    ]
    yield from gauge_lines(
        "askel_operations_planned", "Operations that were planned and are known still.", planned
    )
    names = {row.name for row in rows}
    holds = [row for row in status.holds if row.workflow in names]
    yield from gauge_lines(
        "askel_holds",
        "Held steps, by cause.",
        [({"workflow": row.workflow, "step": row.step, "cause": row.cause}, 1) for row in holds],
    )
    drifted = sum(row.cause in _ACCOUNT_CHANGES for row in holds)
    yield from gauge_lines(
        "askel_drift", "Held steps whose target is gone or changed in the account.", [({}, drifted)]
    )
    for name, text in (("used", "Calls in the last minute."), ("limit", "Calls that a minute allows.")):
        budgets = [({"account": row.account, "call": row.call}, getattr(row, name)) for row in status.budgets]
        yield from gauge_lines(f"askel_budget_{name}", text, budgets if not token.connections else [])


def _may_see(line: str, token: TokenDoc) -> bool:
    """Whether a sample is about a connection of the token, or about none."""
    if line.startswith("#") or 'connection="' not in line:
        return True
    return token.may_use(line.split('connection="', 1)[1].split('"', 1)[0])


async def _observe_audit(context: ApiContext) -> None:
    """Times what was answered since the last scrape."""
    numbers, journal = context.metrics, context.instance.journal
    newest = await journal.audit_entries(AuditFilter(), limit=1, newest=True)
    end = newest[0].seq if newest else 0
    if numbers.last_audit_seq is None:
        numbers.last_audit_seq = max(0, end - MAX_ENTRIES_PER_SCRAPE)
    after = max(numbers.last_audit_seq, end - MAX_ENTRIES_PER_SCRAPE)
    entries = await journal.audit_entries(AuditFilter(), after=after, limit=MAX_ENTRIES_PER_SCRAPE)
    for entry in entries:
        if entry.ms is not None:
            numbers.klaviyo_call_seconds.observe(
                (("kind", entry.kind), ("connection", entry.connection or "")), entry.ms / 1000
            )
        received = numbers.received_at_ms.get((entry.connection or "", entry.record or ""))
        if received is not None and entry.status in ("written", "unconfirmed"):
            labels = (("kind", entry.kind), ("connection", entry.connection or ""))
            numbers.record_arrival_seconds.observe(labels, max(0, entry.at - received) / 1000)
    numbers.last_audit_seq = entries[-1].seq if entries else after
