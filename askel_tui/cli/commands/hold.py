"""`askel hold`: lists, releases and discards what is held."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import (
    actor,
    asynchronous,
    json_option,
    open_instance,
    require_confirmation,
    run_async,
)
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.cli.questions import choose
from askel_tui.cli.replan_output import put_preview, put_result, record_writer, replan_options
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_age, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.services.status import HoldStatus
    from askel_tui.store.journal.rows import Hold


@click.group(cls=SuggestingGroup)
def hold() -> None:
    """Steps that may not send: their operations wait in order."""


@hold.command("list")
@click.argument("workflow", required=False)
@click.argument("step", required=False)
@json_option
@asynchronous
async def list_(workflow: str | None, step: str | None, as_json: bool) -> None:
    """List what is held, why, since when, and how much waits.

    \b
    Example:
      askel hold list
    """
    from askel_tui.services.json_documents import to_json

    async with open_instance() as instance:
        found = await instance.journal.holds()
        now = instance.clock()
    holds = [each for each in found if workflow in (None, each.workflow) and step in (None, each.step)]
    if as_json:
        put_json({"holds": [hold_row(to_json(each)) for each in holds]})
        return
    if not holds:
        put_message("nothing is held")
    put_holds(holds, now)


def hold_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a hold as a JSON document, with its time as RFC 3339."""
    shown = {name: value for name, value in row.items() if name != "others"}
    if "others" in row:
        shown["reasons"] = [{"cause": row["cause"], "detail": row["detail"]}, *row["others"]]
    return {**shown, "since": to_rfc3339(row["since"])}


def _reason(hold: Hold | HoldStatus) -> str:
    first, *others = [each.detail for each in hold.reasons] or [hold.detail]
    stays = " (came back twice: stays until a person acts)" if hold.stays else ""
    return "; and ".join([f"{first}{stays}", *others])


def put_holds(holds: Sequence[Hold | HoldStatus], now: int) -> None:
    """Writes the table of holds."""
    put_table(
        ("workflow", "version", "step", "waiting", "since", "why"),
        [
            (
                each.workflow,
                each.version,
                each.step,
                each.waiting,
                f"{format_age(each.since, now)} ago",
                _reason(each),
            )
            for each in holds
        ],
        keep_last_whole=True,
    )


@hold.command()
@click.argument("workflow", required=False)
@click.argument("step", required=False)
@json_option
@asynchronous
async def release(workflow: str | None, step: str | None, as_json: bool) -> None:
    """Let held steps go on: all of them, a WORKFLOW's, or one STEP. What is still wrong holds them again.

    \b
    Example:
      askel hold release first-points-welcome welcome
    """
    await _decide("release", workflow, step, as_json)


@hold.command()
@click.argument("workflow", required=False)
@click.argument("step", required=False)
@click.option("--yes", is_flag=True, help="Do not ask, on a terminal, before everything held is discarded.")
@json_option
def discard(workflow: str | None, step: str | None, yes: bool, as_json: bool) -> None:
    """Discard the operations that holds keep; they will not be sent. The hold stays.

    \b
    Example:
      askel hold discard first-points-welcome welcome
    """
    if workflow is None and sys.stdin.isatty():
        require_confirmation("Discard everything that is held?", yes)
    run_async(_decide("discard", workflow, step, as_json))


@hold.command()
@click.argument("workflow")
@click.argument("step", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@replan_options
@json_option
@asynchronous
async def replan(
    workflow: str, step: str | None, yes: bool, all_file: str | None, as_json: bool, **agreed: bool
) -> None:
    """Plan anew, under the version of WORKFLOW that runs, what older versions hold or have waiting.

    It is shown first. What was sent, or may have been, stays as it is. With STEP only records of which an operation of
    that step waits; all that such a record has not sent yet is planned anew.

    \b
    Examples:
      askel hold replan first-points-welcome --yes
      askel hold replan first-points-welcome welcome
    """
    from askel_tui.core.planning.replanning import Consents
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.replanning import preview_replan
    from askel_tui.services.workflows import replan as replan_workflow
    from askel_tui.services.workflows import running_version

    consents = Consents(**agreed)
    async with open_instance() as instance:
        version = await running_version(instance, workflow)
        with record_writer(all_file) as write:
            preview = await preview_replan(instance, workflow, version, consents, write, step=step)
        if not as_json:
            put_preview(preview)
        if preview.totals.records and not yes:
            choose(f"{workflow}: plan this anew under version {version}?", {"--yes": "plans it anew"})
        result = await replan_workflow(instance, workflow, actor(), consents, step=step)
    if as_json:
        put_json({**result, "preview": to_json(preview)})
    put_result(result["replanned"])


async def _decide(command: str, workflow: str | None, step: str | None, as_json: bool) -> None:
    from askel_tui.sync.engine.command_bus import submit

    async with open_instance() as instance:
        if workflow is not None and not workflow.startswith("direct-"):
            instance.workflow_document(workflow)
        result = await submit(instance, command, {"workflow": workflow, "step": step}, actor())
    if as_json:
        put_json(result)
    for each in result["holds"]:
        is_single = each["operations"] == 1
        if command == "release":
            outcome = "waits to be sent" if is_single else "wait to be sent"
        else:
            outcome = "is discarded" if is_single else "are discarded"
        operations = pluralize(each["operations"], "operation")
        put_message(f"{each['workflow']} step {each['step']}: {operations} {outcome}")
        for reason in each.get("stays", ()):
            put_message(
                f"{each['workflow']} step {each['step']} stays held while this is so: {reason['detail']}"
            )


@click.command()
@click.option("--all", "everything", is_flag=True, required=True, help="Every active workflow.")
@json_option
@asynchronous
async def pause(everything: bool, as_json: bool) -> None:
    """Pause all active workflows at once: nothing more is sent, records are still taken and wait.

    Requests under way end. `askel workflow pause NAME` pauses one.

    \b
    Example:
      askel pause --all
    """
    result = await _submit_for_all("pause_all", as_json)
    names = result["paused"]
    put_message(
        f"{pluralize(len(names), 'workflow is', 'workflows are')} paused: their records wait; "
        "`askel resume --all` sends them"
        if names
        else "no workflow is active"
    )


@click.command()
@click.option("--all", "everything", is_flag=True, required=True, help="What was paused together.")
@json_option
@asynchronous
async def resume(everything: bool, as_json: bool) -> None:
    """Resume what `askel pause --all` paused; what was paused by name stays paused.

    \b
    Example:
      askel resume --all
    """
    result = await _submit_for_all("resume_all", as_json)
    put_message(f"{pluralize(len(result['resumed']), 'workflow is', 'workflows are')} active again")
    for name in result["paused"]:
        put_message(f"{name} was paused by itself: `askel workflow resume {name}` sends what waits")


async def _submit_for_all(command: str, as_json: bool) -> Mapping[str, Any]:
    from askel_tui.sync.engine.command_bus import submit

    async with open_instance() as instance:
        result = await submit(instance, command, {}, actor())
    if as_json:
        put_json(result)
    return result
