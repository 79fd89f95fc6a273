"""`askel status`: connections, workflows, what waits, what is held, budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from askel_tui.cli.commands.failed import put_failure_count
from askel_tui.cli.commands.hold import hold_row, put_holds
from askel_tui.cli.common import json_option, open_instance, run_async
from askel_tui.cli.output import bold, put, put_json, put_message, put_table


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show connections, workflows with what waits and what was sent, holds, budgets.

    \b
    Example:
      askel status --json
    """
    run_async(_status(as_json))


async def _status(as_json: bool) -> None:
    from askel_tui.services.status import read_status as found

    async with open_instance() as instance:
        document = await found(instance)
        now = instance.clock()
    if as_json:
        rows = {name: [hold_row(row) for row in document[name]] for name in ("holds", "jobs")}
        put_json({**document, **rows})
        return
    _show(document, now)


def _show(document: Mapping[str, Any], now: int) -> None:
    running = document["daemon"]
    put(
        f"daemon: {'running, process ' + str(running['pid'] or '?') if running['running'] else 'not running'}"
    )
    if not document["connections"]:
        put_message("no connections yet: `askel connect NAME --key-stdin` makes one")
    _put_section("connections", ("name", "account", "revision", "state"), document["connections"])
    names = ("name", "connection", "state", "version", "waiting", "held", "failed", "sent")
    _put_section("workflows", names, document["workflows"])
    for row in document["workflows"]:
        if row["unplanned"]:
            put(f"{row['name']}: {row['unplanned']:,} more records were received and wait to be planned")
    for row in document["jobs"]:
        put(f"{row['connection']}: {row['detail']}")
    if document["holds"]:
        put()
        put(bold("held"))
        put_holds(document["holds"], now)
    budgets = [
        {**row, "of": f"{row['used']} of {row['limit']} in {row['window_s']} s{_foreign_note(row)}"}
        for row in document["budgets"]
    ]
    _put_section("budgets", ("account", "call", "of"), budgets)
    put_failure_count(sum(row["failed"] for row in document["workflows"]))


def _foreign_note(row: Mapping[str, Any]) -> str:
    return ", others use it too" if row["foreign"] else ""


def _put_section(title: str, names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    put()
    put(bold(title))
    put_table(names, [[row[name] for name in names] for row in rows])
