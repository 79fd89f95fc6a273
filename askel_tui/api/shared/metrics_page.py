"""What `/metrics` shows: this process's own numbers, and what the journal says when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from askel_tui.api.shared.context import Context
from askel_tui.api.shared.metrics import gauge
from askel_tui.core.targets.drift import CAUSES
from askel_tui.services.status import status
from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.state.tokens import TokenDoc

COUNTED = 5_000
"""Audit entries that are timed at one scrape; between two scrapes of a busy daemon some are passed over."""

DRIFT = frozenset(CAUSES) - {"key_refused", "other_account", "scope_missing"}
"""Causes of holds that mean the account is no longer what a workflow was built on; those three are about the key."""

_WORDS = {
    "waiting": "Operations that wait to be sent.",
    "held": "Operations that a hold keeps.",
    "failed": "Operations that failed and were not discarded.",
    "sent": "Operations that were written or are unconfirmed.",
}


async def exposition(context: Context, token: TokenDoc) -> str:
    """The text for a token: its connections' numbers only."""
    await _time_answers(context)
    document = await status(context.instance)
    lines: list[str] = []
    for counted in _counted(context):
        lines += counted.lines()
    lines += _of_journal(document, token)
    lines += gauge("askel_free_disk_bytes", "Space left where the journal is.", [({}, context.pressure.free)])
    lines += gauge(
        "askel_backlog_operations",
        "Operations that wait, of all workflows.",
        [({}, context.pressure.backlog)],
    )
    lines += gauge(
        "askel_refusing",
        "Whether records are refused for pressure.",
        [({}, int(context.pressure.why is not None))],
    )
    if token.connections:
        lines = [each for each in lines if _reached(each, token)]
    return "\n".join(lines) + "\n"


def _counted(context: Context) -> tuple[Any, ...]:
    numbers = context.numbers
    return numbers.records, numbers.requests, numbers.durations, numbers.calls, numbers.arrivals


def _of_journal(document: Mapping[str, Any], token: TokenDoc) -> Iterable[str]:
    rows = [row for row in document["workflows"] if token.reaches(row["connection"] or "")]
    for name, text in _WORDS.items():
        values = [
            ({"connection": row["connection"] or "", "workflow": row["name"]}, row[name]) for row in rows
        ]
        yield from gauge(f"askel_operations_{name}", text, values)
    planned = [
        ({"connection": row["connection"] or "", "workflow": row["name"]}, sum(row[name] for name in _WORDS))
        for row in rows
    ]
    yield from gauge("askel_operations_planned", "Operations that were planned and are known still.", planned)
    names = {row["name"] for row in rows}
    holds = [row for row in document["holds"] if row["workflow"] in names]
    yield from gauge(
        "askel_holds",
        "Held steps, by cause.",
        [({"workflow": row["workflow"], "step": row["step"], "cause": row["cause"]}, 1) for row in holds],
    )
    drifted = sum(row["cause"] in DRIFT for row in holds)
    yield from gauge(
        "askel_drift", "Held steps whose target is gone or changed in the account.", [({}, drifted)]
    )
    for name, text in (("used", "Calls in the last minute."), ("limit", "Calls that a minute allows.")):
        budgets = [
            ({"account": row["account"], "call": row["call"]}, row[name]) for row in document["budgets"]
        ]
        yield from gauge(f"askel_budget_{name}", text, budgets if not token.connections else [])


def _reached(line: str, token: TokenDoc) -> bool:
    """Whether a sample is about a connection of the token, or about none."""
    if line.startswith("#") or 'connection="' not in line:
        return True
    return token.reaches(line.split('connection="', 1)[1].split('"', 1)[0])


async def _time_answers(context: Context) -> None:
    """Times what was answered since the last scrape."""
    numbers, journal = context.numbers, context.instance.journal
    newest = await journal.audit(AuditFilter(), limit=1, newest=True)
    end = newest[0].seq if newest else 0
    if numbers.audited is None:
        numbers.audited = max(0, end - COUNTED)
    after = max(numbers.audited, end - COUNTED)
    entries = await journal.audit(AuditFilter(), after=after, limit=COUNTED)
    for entry in entries:
        if entry.ms is not None:
            numbers.calls.observe(
                (("kind", entry.kind), ("connection", entry.connection or "")), entry.ms / 1000
            )
        received = numbers.received.get((entry.connection or "", entry.record or ""))
        if received is not None and entry.status in ("written", "unconfirmed"):
            labels = (("kind", entry.kind), ("connection", entry.connection or ""))
            numbers.arrivals.observe(labels, max(0, entry.at - received) / 1000)
    numbers.audited = entries[-1].seq if entries else after
