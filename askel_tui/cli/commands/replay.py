"""`askel replay`: events of a stretch of the journal once more."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import actor, home, json_option, run
from askel_tui.cli.output import plural, put_json, table, tell
from askel_tui.cli.times import Moment, clock_time, milliseconds, stamp

if TYPE_CHECKING:
    from askel_tui.services.replay import Stretch, Unfit

SHOWN_UNFIT = 20


def _range(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str | None, str | None]:
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
@click.option("--since", type=Moment(), help="Only what was sent since then: a date or RFC 3339.")
@click.option(
    "--until", type=Moment(end=True), help="Only what was sent until then: a date (its end) or RFC 3339."
)
@click.option(
    "--records", metavar="A..B", callback=_range, help="Only of these records, by id, in order of receipt."
)
@click.option("--no-backfill", is_flag=True, help="Let the events fire flows, as new ones do.")
@click.option("--dry-run", is_flag=True, help="List the events; send nothing.")
@json_option
def replay(
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
    """Send EVENTS of a stretch of the journal again, with the same unique ids. Nothing else is ever sent again.

    Klaviyo keeps an event it has and takes one it lost. Events are marked as history, so that they fire no flow, where
    the connection's revision can say so.

    \b
    Examples:
      askel replay --connection maple-ember --since 2026-11-20 --until 2026-11-21 --dry-run
      askel replay --connection maple-ember --workflow first-points-welcome --records evt-000100..evt-000200
    """
    from askel_tui.services.replay import Stretch

    wanted = Stretch(
        connection,
        workflow,
        step,
        milliseconds(since) if since else None,
        milliseconds(until) if until else None,
        *records,
    )
    if dry_run:
        run(_list(wanted, as_json))
        return
    count, unfit, backfill = run(_replay(wanted, not no_backfill))
    if as_json:
        put_json({"events": count, "backfill": backfill, "unfit": [_unfit(each) for each in unfit]})
    if not backfill and not no_backfill:
        tell("the connection's revision cannot mark events as history: they may fire flows")
    _tell_unfit(unfit)
    tell(f"{plural(count, 'event')} will be sent again; a running daemon does it")


async def _replay(wanted: Stretch, backfill: bool) -> tuple[int, list[Unfit], bool]:
    from askel_tui.contract.dialects import dialect
    from askel_tui.services import replay as replays

    async with home() as instance:
        _known(instance.document, wanted.workflow)
        can = dialect(instance.state.connection(wanted.connection).revision).backfill
        count, unfit = await replays.replay(instance, wanted, actor(), backfill=backfill)
    return count, unfit, backfill and can


async def _list(wanted: Stretch, as_json: bool) -> None:
    from askel_tui.services.replay import Unfit, events

    found: list[dict[str, Any]] = []
    unfit: list[Unfit] = []
    async with home() as instance:
        _known(instance.document, wanted.workflow)
        async for each in events(instance, wanted):
            if isinstance(each, Unfit):
                unfit.append(each)
            else:
                found.append(each.as_dict())
    if as_json:
        events_told = [{**each, "sent": stamp(each["sent"])} for each in found]
        put_json({"events": events_told, "unfit": [_unfit(each) for each in unfit]})
    else:
        columns = ("sent", "workflow", "step", "record", "profile", "metric", "unique id")
        table(columns, [_row(each) for each in found])
    _tell_unfit(unfit)
    tell(f"{plural(len(found), 'event')} would be sent again")


def _known(document: Any, workflow: str | None) -> None:
    """A mistyped workflow is told, with a guess, instead of finding nothing."""
    if workflow is not None:
        document(workflow)


def _row(event: dict[str, Any]) -> tuple[str, ...]:
    who = next(iter(event["profile"].values()), "")
    names = ("workflow", "step", "record")
    return (
        clock_time(event["sent"]),
        *(event[name] for name in names),
        who,
        event["metric"],
        event["unique_id"],
    )


def _unfit(unfit: Unfit) -> dict[str, Any]:
    entry = unfit.entry
    return {"record": entry.record, "workflow": entry.workflow, "step": entry.step, "why": unfit.why}


def _tell_unfit(unfit: list[Unfit]) -> None:
    for each in unfit[:SHOWN_UNFIT]:
        tell(f"record {each.entry.record}, step {each.entry.step} can't be sent again: {each.why}")
    if len(unfit) > SHOWN_UNFIT:
        tell(f"and {len(unfit) - SHOWN_UNFIT:,} more")
