"""The page `/metrics`: the counts of this process, and the state of the journal at the time of the scrape."""

from __future__ import annotations

from collections.abc import Iterator

from askel_tui.api.shared.backpressure import Backpressure
from askel_tui.api.shared.context import ApiContext
from askel_tui.api.shared.metrics import Labels, Metric, render
from askel_tui.core.hold_causes import HOLD_CAUSES
from askel_tui.services.status import Status, WorkflowStatus, read_status
from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.state.tokens import TokenDoc

MAX_ENTRIES_PER_SCRAPE = 5_000
"""Audit entries that are timed at one scrape; a daemon that writes more of them between two scrapes skips some."""

_ACCOUNT_CHANGES = frozenset(
    name for name, cause in HOLD_CAUSES.items() if cause.is_drift and not cause.is_about_key
)
"""The causes of holds that mean a changed account, without those that are about the key."""

_OPERATION_HELP = {
    "waiting": "Operations that wait to be sent.",
    "held": "Operations that a hold keeps.",
    "failed": "Operations that failed and were not discarded.",
    "sent": "Operations that were written or are unconfirmed.",
}

_RECORD_HELP = {
    "waiting": "Records with operations that wait, and none that is held or failed.",
    "held": "Records with operations that a hold keeps, and none that failed.",
    "failed": "Records that failed and were not discarded.",
    "done": "Records of which nothing is left to do, as long as they are kept.",
    "discarded": "Records that failed and were given up, as long as they are kept.",
}


async def render_metrics(context: ApiContext, token: TokenDoc) -> str:
    """Renders the page for a token. A token that is bound to connections sees nothing of the others."""
    await _observe_audit(context)
    status = await read_status(context.instance, count_records=True)
    metrics = [
        *context.metrics.counted(),
        *_journal_gauges(status, token, context.instance.clock()),
        *_pressure_gauges(context.backpressure),
    ]
    return render(metrics, lambda labels: "connection" not in labels or token.may_use(labels["connection"]))


def _journal_gauges(status: Status, token: TokenDoc, now: int) -> Iterator[Metric]:
    rows = [row for row in status.workflows if token.may_use(row.connection or "")]
    for name, help_text in _OPERATION_HELP.items():
        values = {_labels(row): getattr(row, name) for row in rows}
        yield _gauge(f"operations_{name}", help_text, values)
    ages = {_labels(row): max(0, now - (row.oldest_waiting or now)) / 1000 for row in rows}
    yield _gauge("oldest_waiting_seconds", "The age of the oldest record that waits; 0 without any.", ages)
    for name, help_text in _RECORD_HELP.items():
        records = {_labels(row): float(getattr(row.records, name)) for row in rows if row.records}
        yield _gauge(f"workflow_records_{name}", help_text, records)
    silent: dict[Labels, float] = {
        (("connection", name),): max(0, now - outage.since) / 1000
        for outage in status.outages
        for name in outage.connections
    }
    yield _gauge(
        "klaviyo_silent_seconds", "How long Klaviyo has not answered; missing while it does.", silent
    )
    planned = {_labels(row): sum(getattr(row, name) for name in _OPERATION_HELP) for row in rows}
    yield _gauge("operations_planned", "Operations that were planned and are known still.", planned)
    refused: dict[Labels, float] = {
        (("connection", row.name),): row.refused for row in status.connections if token.may_use(row.name)
    }
    yield _gauge("records_refused", "Lines and messages that were refused as no records.", refused)
    differing: dict[Labels, float] = {_labels(row): row.differing for row in rows}
    yield _gauge("operations_differing", "Writes of which Klaviyo's answer shows a difference.", differing)
    warned: dict[Labels, float] = {
        (("workflow", row.name), ("kind", kind)): count
        for row in rows
        for kind, count in row.warnings.items()
    }
    yield _gauge("records_warned", "Records that something is to be said about, by kind.", warned)
    notices = [] if token.connections else status.notices
    for name, help_text in (
        ("waiting", "Notices not delivered yet."),
        ("attempts", "Failed attempts in a row."),
    ):
        values = {
            (("address", row.address), ("connection", row.connection or "")): getattr(row, name)
            for row in notices
        }
        yield _gauge(f"notices_{name}", help_text, values)
    names = {row.name for row in rows}
    holds = [row for row in status.holds if row.workflow in names]
    held: dict[Labels, float] = {
        (("workflow", row.workflow), ("step", row.step), ("cause", row.cause)): 1 for row in holds
    }
    yield _gauge("holds", "Held steps, by cause.", held)
    drifted = sum(row.cause in _ACCOUNT_CHANGES for row in holds)
    yield _gauge("drift", "Held steps whose target is gone or changed in the account.", {(): drifted})
    budgets = [] if token.connections else status.budgets
    for name, help_text in (("used", "Calls in the last minute."), ("limit", "Calls that a minute allows.")):
        values = {(("account", row.account), ("call", row.call)): getattr(row, name) for row in budgets}
        yield _gauge(f"budget_{name}", help_text, values)


def _gauge(name: str, help_text: str, values: dict[Labels, float]) -> Metric:
    return Metric(f"askel_{name}", help_text, "gauge", values)


def _labels(row: WorkflowStatus) -> Labels:
    return ("connection", row.connection or ""), ("workflow", row.name)


def _pressure_gauges(backpressure: Backpressure) -> Iterator[Metric]:
    yield _gauge("free_disk_bytes", "Space left where the journal is.", {(): backpressure.free_bytes})
    yield _gauge("backlog_operations", "Operations that wait, of all workflows.", {(): backpressure.backlog})
    is_refusing = int(backpressure.reason is not None)
    yield _gauge("refusing", "Whether records are refused for pressure.", {(): is_refusing})


async def _observe_audit(context: ApiContext) -> None:
    """Counts the durations of the audit entries that were written since the last scrape."""
    metrics, journal = context.metrics, context.instance.journal
    newest = await journal.audit_entries(AuditFilter(), limit=1, newest=True)
    end = newest[0].position if newest else 0
    after = max(metrics.last_audit_seq, end - MAX_ENTRIES_PER_SCRAPE)
    entries = await journal.audit_entries(AuditFilter(), after=after, limit=MAX_ENTRIES_PER_SCRAPE)
    for entry in entries:
        labels = {"kind": entry.kind, "connection": entry.connection or ""}
        if entry.ms is not None:
            metrics.klaviyo_call_seconds.observe(entry.ms / 1000, **labels)
        received = metrics.received_at_ms.get((entry.connection or "", entry.record or ""))
        if received is not None and entry.status in ("written", "unconfirmed"):
            metrics.record_arrival_seconds.observe(max(0, entry.at - received) / 1000, **labels)
    metrics.last_audit_seq = entries[-1].position if entries else after
