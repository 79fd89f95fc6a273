"""`askel replay`: sends events of a range of the journal once more."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import actor, asynchronous, json_option, open_instance
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.cli.times import TimeParam, epoch_ms
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_timestamp, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.services.replay import ReplayRange, UnreplayableEvent
    from askel_tui.sync.instance import Instance

MAX_SHOWN_UNFIT = 20


def _parse_record_range(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    first, dots, last = value.partition("..")
    if not dots:
        return first, first
    return first or None, last or None


@click.command()
@click.option("--connection", required=True, metavar="NAME", help="The connection that sent them.")
@click.option("--workflow", metavar="NAME", help="Only this workflow's.")
@click.option("--step", metavar="STEP", help="Only this step's.")
@click.option("--since", type=TimeParam(), help="Only what was sent since then: a date or RFC 3339.")
@click.option(
    "--until", type=TimeParam(end=True), help="Only what was sent until then: a date (its end) or RFC 3339."
)
@click.option(
    "--records",
    metavar="A..B",
    callback=_parse_record_range,
    help="Only of these records, by id, in order of receipt.",
)
@click.option("--no-backfill", is_flag=True, help="Let the events fire flows, as new ones do.")
@click.option("--dry-run", is_flag=True, help="List the events; send nothing.")
@json_option
@asynchronous
async def replay(
    connection: str,
    workflow: str | None,
    step: str | None,
    since: datetime | None,
    until: datetime | None,
    records: tuple[str | None, str | None],
    no_backfill: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send EVENTS of a range of the journal again, with the same unique ids. Nothing else is ever sent again.

    Klaviyo keeps an event it has and takes one it lost. Events are marked as history, so that they fire no flow, where
    the connection's revision can say so.

    \b
    Examples:
      askel replay --connection maple-ember --since 2026-11-20 --until 2026-11-21 --dry-run
      askel replay --connection maple-ember --workflow first-points-welcome --records evt-000100..evt-000200
    """
    from askel_tui.contract.dialects import dialect
    from askel_tui.services.replay import ReplayRange
    from askel_tui.services.replay import replay as replay_events

    sent = ReplayRange(
        connection,
        workflow,
        step,
        epoch_ms(since) if since else None,
        epoch_ms(until) if until else None,
        *records,
    )
    if dry_run:
        await _list(sent, as_json)
        return
    async with open_instance() as instance:
        _require_workflow(instance, workflow)
        can_backfill = dialect(instance.state.connection(connection).revision).has_backfill
        count, unfit = await replay_events(instance, sent, actor(), backfill=not no_backfill)
    backfill = can_backfill and not no_backfill
    if as_json:
        put_json({"events": count, "backfill": backfill, "unfit": [_unfit_row(each) for each in unfit]})
    if not backfill and not no_backfill:
        put_message("the connection's revision cannot mark events as history: they may fire flows")
    _put_unfit(unfit)
    put_message(f"{pluralize(count, 'event')} will be sent again; a running daemon does it")


async def _list(sent: ReplayRange, as_json: bool) -> None:
    from askel_tui.services.replay import UnreplayableEvent, replayable_events

    found: list[dict[str, Any]] = []
    unfit: list[UnreplayableEvent] = []
    async with open_instance() as instance:
        _require_workflow(instance, sent.workflow)
        async for each in replayable_events(instance, sent):
            if isinstance(each, UnreplayableEvent):
                unfit.append(each)
            else:
                found.append(each.as_dict())
    if as_json:
        events = [{**each, "sent": to_rfc3339(each["sent"])} for each in found]
        put_json({"events": events, "unfit": [_unfit_row(each) for each in unfit]})
    else:
        columns = ("sent", "workflow", "step", "record", "profile", "metric", "unique id")
        put_table(columns, [_event_row(each) for each in found])
    _put_unfit(unfit)
    put_message(f"{pluralize(len(found), 'event')} would be sent again")


def _require_workflow(instance: Instance, workflow: str | None) -> None:
    """Checks that a workflow exists. Raises `UnknownWorkflow`, with a suggestion, for a name that would find
    nothing."""
    if workflow is not None:
        instance.workflow_document(workflow)


def _event_row(event: dict[str, Any]) -> tuple[str, ...]:
    return (
        format_timestamp(event["sent"]),
        event["workflow"],
        event["step"],
        event["record"],
        next(iter(event["profile"].values()), ""),
        event["metric"],
        event["unique_id"],
    )


def _unfit_row(unfit: UnreplayableEvent) -> dict[str, Any]:
    entry = unfit.entry
    return {"record": entry.record, "workflow": entry.workflow, "step": entry.step, "why": unfit.reason}


def _put_unfit(unfit: list[UnreplayableEvent]) -> None:
    for each in unfit[:MAX_SHOWN_UNFIT]:
        put_message(f"record {each.entry.record}, step {each.entry.step} can't be sent again: {each.reason}")
    if len(unfit) > MAX_SHOWN_UNFIT:
        put_message(f"and {len(unfit) - MAX_SHOWN_UNFIT:,} more")
