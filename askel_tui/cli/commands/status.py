"""`askel status`: shows connections, workflows, the backlog, holds and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.backfill_output import describe
from askel_tui.cli.commands.failed import put_failure_count
from askel_tui.cli.commands.hold import hold_row, put_holds
from askel_tui.cli.common import asynchronous, json_option, open_instance
from askel_tui.cli.output import bold, format_cell, put, put_json, put_message, put_table
from askel_tui.contract.revisions import RevisionStatus
from askel_tui.core.problems import WARNING_TEXTS
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_age, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.services.status import BudgetStatus, Status


@click.command()
@json_option
@asynchronous
async def status(as_json: bool) -> None:
    """Show connections, workflows with what waits and what was sent, holds, budgets.

    \b
    Example:
      askel status --json
    """
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.status import read_status

    async with open_instance() as instance:
        found = await read_status(instance, count_records=True)
        now = instance.clock()
    if as_json:
        document = to_json(found)
        rows = {name: [hold_row(row) for row in document[name]] for name in ("holds", "jobs", "outages")}
        workflows = [workflow_row(row, now) for row in document["workflows"]]
        put_json({**document, "workflows": workflows, **rows})
        return
    _show(found, now)


def workflow_row(row: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Returns a workflow as a JSON document, with the time of its oldest waiting record as RFC 3339, and its age."""
    oldest = row["oldest_waiting"]
    age_s = None if oldest is None else max(0, now - oldest) // 1000
    return {
        **row,
        "oldest_waiting": None if oldest is None else to_rfc3339(oldest),
        "oldest_waiting_s": age_s,
    }


def _show(status: Status, now: int) -> None:
    from askel_tui.services.outages import describe_outage

    daemon = status.daemon
    put(f"daemon: running, process {daemon.pid or '?'}" if daemon.running else "daemon: not running")
    for outage in status.outages:
        put(bold(f"{', '.join(outage.connections) or outage.account}: {describe_outage(outage, now)}"))
    if not status.connections:
        put_message("no connections yet: `askel connect NAME --key-stdin` makes one")
    _put_section("connections", ("name", "account", "revision", "state"), status.connections)
    for connection in status.connections:
        if connection.revision_status != RevisionStatus.STABLE:
            put(f"{connection.name}: revision {connection.revision} is {connection.revision_note}")
    names = ("name", "connection", "state", "version", "waiting", "held", "failed", "sent")
    _put_section("workflows, counts of operations", names, status.workflows)
    for backfill in status.backfills:
        put(describe(backfill))
    for connection in status.connections:
        if connection.refused:
            refused = pluralize(connection.refused, "line or message was", "lines or messages were")
            put(f"{connection.name}: {refused} refused as no record: refused/ in the home keeps them")
    for workflow in status.workflows:
        if workflow.unplanned:
            put(f"{workflow.name}: {workflow.unplanned:,} more records were received and wait to be planned")
        for note in workflow.notes:
            put(f"{workflow.name}: {format_cell(note)}")
        if workflow.oldest_waiting is not None:
            put(
                f"{workflow.name}: the oldest record that waits came {format_age(workflow.oldest_waiting, now)} ago"
            )
        if workflow.differing:
            answers = pluralize(workflow.differing, "write")
            put(
                f"{workflow.name}: Klaviyo did not take all of {answers}: `askel audit --differing` shows what"
            )
        for kind, count in workflow.warnings.items():
            put(f"{workflow.name}: {pluralize(count, 'record')} with {WARNING_TEXTS.get(kind, kind)}")
    for notices in status.notices:
        if notices.error is not None:
            tries = pluralize(notices.attempts, "attempt")
            put(
                f"notices: {notices.waiting} can't be delivered to {notices.address} ({tries}): {notices.error}; "
                "`askel notify test` tries it"
            )
    for job in status.jobs:
        put(f"{job.connection}: {job.detail}")
    if status.holds:
        put()
        put(bold("held"))
        put_holds(status.holds, now)
    _put_table("budgets", ("account", "call", "of"), [_budget_row(budget) for budget in status.budgets])
    put_failure_count(
        sum(workflow.records.failed for workflow in status.workflows if workflow.records),
        sum(workflow.failed for workflow in status.workflows),
    )


def _budget_row(budget: BudgetStatus) -> tuple[str, str, str]:
    others = ", others use it too" if budget.foreign else ""
    return budget.account, budget.call, f"{budget.used} of {budget.limit} in {budget.window_s} s{others}"


def _put_section(title: str, names: tuple[str, ...], rows: Sequence[Any]) -> None:
    _put_table(title, names, [[getattr(row, name) for name in names] for row in rows])


def _put_table(title: str, names: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        put()
        put(bold(title))
        put_table(names, rows)
