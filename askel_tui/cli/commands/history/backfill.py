"""`askel backfill`: writes records of the past under one workflow, from a file or from those that are kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.backfill_output import ProgressLine, describe, put_calls, put_preview, put_report
from askel_tui.cli.common import CommandError, actor, asynchronous, exit_with, json_option, open_instance
from askel_tui.cli.lifted_output import answer_lifted, resubscribe_option
from askel_tui.cli.output import put_json, put_message
from askel_tui.cli.past_output import answer_past, flow_options
from askel_tui.cli.record_options import confirm_guesses, file_options, open_file, read_options
from askel_tui.cli.times import TimeParam, rfc3339
from askel_tui.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from askel_tui.services.history.backfill_status import BackfillStatus
    from askel_tui.services.history.backfills import BackfillSource
    from askel_tui.services.history.past_records import FlowsAnswer
    from askel_tui.store.journal.backfill_rows import Backfill
    from askel_tui.sync.instance import Instance

CHECK_INTERVAL_S = 1.0


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--workflow", required=True, metavar="NAME", help="The workflow that takes the records.")
@click.option("--from-journal", is_flag=True, help="The records that are kept, instead of a file's.")
@click.option("--since", type=TimeParam(), help="Only records of that time and later: a date or RFC 3339.")
@click.option(
    "--until", type=TimeParam(end=True), help="Only records until then: a date (its end) or RFC 3339."
)
@click.option(
    "--preview", is_flag=True, help="Show what it would do, its calls and its time; change nothing."
)
@flow_options
@resubscribe_option
@click.option("--detach", is_flag=True, help="Leave it to the daemon, and do not wait for its end.")
@click.option(
    "--pause", "act", flag_value="pause", help="Pause the workflow's backfill: nothing of it is sent."
)
@click.option("--resume", "act", flag_value="resume", help="Let it go on where it was, and follow it.")
@click.option("--report", "act", flag_value="report", help="Show the workflow's backfills and what they did.")
@file_options
@json_option
@asynchronous
async def backfill(
    file: str | None,
    workflow: str,
    from_journal: bool,
    since: datetime | None,
    until: datetime | None,
    preview: bool,
    flows: FlowsAnswer | None,
    resubscribe: int | None,
    detach: bool,
    act: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write records of the past, of FILE or of those that are kept, under one workflow. No live flow starts.

    It shows the records, the calls and the time first, and says which live flows would start: --fire-flows lets them.
    Each record is written once; those that the workflow has run are left out. A daemon carries it out, or this command
    does; after Ctrl-C or a kill the same command, or --resume, goes on where it was. Records of FILE are this
    workflow's alone.

    \b
    Examples:
      askel backfill points-2025.csv --workflow first-points-welcome --preview
      askel backfill points-2025.csv --workflow first-points-welcome --history
      askel backfill --from-journal --workflow first-points-welcome --since 2026-01-01 --history
      askel backfill --workflow first-points-welcome --pause
    """
    from askel_tui.services.history.backfills import BackfillSource

    if act is None and (file is None) == (not from_journal):
        raise click.UsageError("give a FILE or --from-journal, one of them")
    if act is not None and (file is not None or from_journal or preview):
        raise click.UsageError(f"--{act} is about a backfill that is there already: give --workflow alone")
    start, end = (rfc3339(each) if each else None for each in (since, until))
    source = BackfillSource(file, read_options(given), start, end)
    async with open_instance() as instance:
        instance.workflow_document(workflow)
        if act == "report":
            await _report(instance, workflow, as_json=as_json)
            return
        if act is None:
            _confirm_file(source)
        if preview:
            await _preview(instance, workflow, source, as_json=as_json)
            return
        begun = (
            _change(instance, workflow, act)
            if act
            else _begin(instance, workflow, source, flows, resubscribe)
        )
        found = await begun
        if found is None:
            return
        if act != "pause" and not detach:
            await _follow(instance, found)
        await _put_end(instance, found, as_json=as_json)


def _confirm_file(source: BackfillSource) -> None:
    """Asks about what was guessed of a file. Raises `CommandError` without a terminal, `OSError`, `UnreadableFile`."""
    from askel_tui.services.record_files import open_record_file

    if source.file is None:
        return
    with open_file(source.file) as stream, open_record_file(stream, source.file, source.options) as opened:
        confirm_guesses(opened, opened.read(rfc3339(datetime.now(UTC))))


async def _preview(instance: Instance, workflow: str, source: BackfillSource, *, as_json: bool) -> None:
    from askel_tui.services.history.backfills import prepare
    from askel_tui.services.json_documents import to_json

    found = (await prepare(instance, workflow, source)).preview
    if as_json:
        put_json({**to_json(found), "seconds": found.seconds})
    else:
        put_calls(found)
        put_preview(found)
    put_message("nothing was changed")


async def _begin(
    instance: Instance,
    workflow: str,
    source: BackfillSource,
    flows: FlowsAnswer | None,
    resubscribe: int | None,
) -> Backfill | None:
    """Begins a backfill, or lets one of the same source go on. Returns None where there is nothing to do."""
    from askel_tui.services.history.backfills import begin, prepare, unfinished
    from askel_tui.sync.engine.command_bus import submit

    open_one = await unfinished(instance, workflow, source)
    if open_one is not None:
        put_message(f"backfill {open_one.id} of this goes on where it was")
        if open_one.state == "paused":
            await submit(instance, "resume_backfill", {"backfill": open_one.id}, actor())
        return open_one
    prepared = await prepare(instance, workflow, source)
    put_preview(prepared.preview, with_flows=flows is not None or not prepared.preview.asks)
    if not prepared.preview.past.records:
        put_message("nothing is left to do")
        return None
    begin_now = partial(answer_lifted, partial(begin, instance, prepared, actor()), resubscribe)
    begun, _ = await answer_past(begin_now, flows)
    return begun


async def _change(instance: Instance, workflow: str, act: str) -> Backfill | None:
    from askel_tui.services.history.backfills import unfinished
    from askel_tui.sync.engine.command_bus import submit

    found = await unfinished(instance, workflow)
    if found is None:
        loading = [each for each in await instance.journal.backfills() if each.workflow == workflow]
        hint = ": one was not read whole, and goes on with the same command as before"
        known = hint if loading and loading[-1].state == "loading" else ""
        raise CommandError(f"no backfill of {workflow} is under way{known}", ExitCode.REFUSED)
    await submit(instance, f"{act}_backfill", {"backfill": found.id}, actor())
    return found


async def _follow(instance: Instance, wanted: Backfill) -> None:
    """Shows progress until a backfill ends or can't go on; where no daemon runs, this process sends."""
    from askel_tui.store.locks import owner_pid
    from askel_tui.sync.engine.daemon import run as send_until_idle

    sending = None
    if owner_pid(instance.home) is None:
        sending = asyncio.create_task(send_until_idle(instance.home, until_idle=True))
    line = ProgressLine()
    try:
        while not (sending is not None and sending.done()):
            now = next(each for each in await instance.journal.backfills() if each.id == wanted.id)
            state = await instance.workflow_state(wanted.workflow)
            if sending is None and (now.state != "running" or state is None or state.status != "active"):
                break
            if sending is None and owner_pid(instance.home) is None:
                put_message("the daemon has ended: the same command again goes on without it")
                break
            line.show(await instance.journal.backfill_progress(now))
            await asyncio.sleep(CHECK_INTERVAL_S) if sending is None else await asyncio.wait(
                {sending}, timeout=CHECK_INTERVAL_S
            )
        if sending is not None:
            await sending
    except asyncio.CancelledError:
        line.end()
        put_message("it is not done: a daemon goes on with it, or the same command again")
        raise
    finally:
        line.end()


async def _put_end(instance: Instance, wanted: Backfill, *, as_json: bool) -> None:
    from askel_tui.services.history.backfill_status import backfill_statuses
    from askel_tui.services.json_documents import to_json

    statuses = await backfill_statuses(instance, wanted.workflow, outcomes=True)
    found = next(each for each in statuses if each.id == wanted.id)
    put_json(_row(found, to_json(found))) if as_json else put_report(found)
    state = await instance.workflow_state(wanted.workflow)
    if state is not None and state.status != "active" and found.state == "running":
        put_message(f"{wanted.workflow} is {state.status}: `askel workflow resume {wanted.workflow}` sends")
    if found.state == "paused":
        put_message(f"`askel backfill --workflow {wanted.workflow} --resume` lets it go on")
    if found.progress.held:
        put_message("`askel hold list` says why something is held")
    if found.progress.failed:
        put_message("`askel failed list` says why something failed")
    if found.progress.held and found.state in ("running", "done"):
        exit_with(ExitCode.REFUSED)


async def _report(instance: Instance, workflow: str, *, as_json: bool) -> None:
    from askel_tui.services.history.backfill_status import backfill_statuses
    from askel_tui.services.json_documents import to_json

    found = await backfill_statuses(instance, workflow, outcomes=True)
    if as_json:
        put_json({"backfills": [_row(each, to_json(each)) for each in found]})
        return
    if not found:
        put_message(f"{workflow} has had no backfill")
    for each in found[:-1]:
        put_message(describe(each))
    for each in found[-1:]:
        put_report(each)


def _row(found: BackfillStatus, row: Any) -> dict[str, Any]:
    """Makes a backfill's JSON, with a row for each result."""
    outcomes = [{"write": kind, "result": status, "number": count} for kind, status, count in found.outcomes]
    return {**row, "outcomes": outcomes}
