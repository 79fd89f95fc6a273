"""`askel failed`: lists, retries and discards failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from askel_tui.cli.common import CommandError, actor, asynchronous, json_option, open_instance
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_timestamp, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import Failure
    from askel_tui.sync.instance import Instance

ALL_FAILURES_LIMIT = 10_000_000
"""A limit that no journal reaches."""

F = TypeVar("F", bound=Callable[..., Any])


def put_failure_count(records: int, operations: int) -> None:
    """Writes how many records failed, and how to list them; nothing where there are none."""
    if records:
        put_message(f"{describe_failures(records, operations)}: `askel failed list` says why")


def describe_failures(records: int, operations: int) -> str:
    """Describes how many records failed and how many operations with them, for people."""
    return f"{pluralize(records, 'record')} failed, {pluralize(operations, 'operation')}"


@click.group(cls=SuggestingGroup)
def failed() -> None:
    """Records and operations that failed; each is kept whole."""


@failed.command("list")
@click.option("--workflow", metavar="NAME", help="Only this workflow's.")
@click.option("--last", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@click.option("--discarded", is_flag=True, help="What was discarded, and can be retried until it is pruned.")
@json_option
@asynchronous
async def list_(workflow: str | None, last: int, discarded: bool, as_json: bool) -> None:
    """List what failed, with the reason and the id that `retry` and `discard` take.

    \b
    Example:
      askel failed list --workflow first-points-welcome
    """
    async with open_instance() as instance:
        if workflow is not None:
            instance.workflow_document(workflow)
        failures = await instance.journal.failures(workflow, last, discarded=discarded)
        records, operations = await count_failures(instance, workflow)
    if as_json:
        put_json({"discarded" if discarded else "failed": [_failure_row(each) for each in failures]})
        return
    if not failures:
        put_message("nothing is discarded" if discarded else "nothing failed")
    put_table(
        ("id", "at", "workflow", "record", "step", "why"),
        [
            (
                str(each.id),
                format_timestamp(each.at),
                each.workflow,
                each.record,
                each.step,
                _describe_problems(each),
            )
            for each in failures
        ],
        keep_last_whole=True,
    )
    if failures:
        shown = f"; the oldest {len(failures):,} are shown" if len(failures) < records else ""
        put_message(describe_failures(records, operations) + shown)


async def count_failures(instance: Instance, workflow: str | None = None) -> tuple[int, int]:
    """Counts the records that failed, and the operations with them, of a workflow or of all."""
    records = await instance.journal.failure_counts()
    operations = await instance.journal.counts()
    names = records.keys() if workflow is None else {workflow} & records.keys()
    return (
        sum(records[name] for name in names),
        sum(operations[name].failed for name in names if name in operations),
    )


def _describe_problems(failure: Failure) -> str:
    problems = [
        ", ".join(filter(None, (row.get("step"), row.get("field")))) + f": {row['message']}"
        for row in failure.problems
    ]
    return "; ".join(problems) or failure.reason


def _failure_row(failure: Failure) -> dict[str, Any]:
    return {
        "id": failure.id,
        "at": to_rfc3339(failure.at),
        "connection": failure.connection,
        "workflow": failure.workflow,
        "version": failure.version,
        "record": failure.record,
        "step": failure.step,
        "reason": failure.reason,
        "problems": [dict(row) for row in failure.problems],
        "operation": failure.operation.operation.id if failure.operation else None,
        **({} if failure.discarded is None else {"discarded": to_rfc3339(failure.discarded)}),
    }


def _selection_options(command: F) -> F:
    for option in (
        click.option("--all", "everything", is_flag=True, help="Everything that failed."),
        click.option("--workflow", metavar="NAME", help="All of this workflow's."),
        click.argument("ids", type=int, nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return json_option(command)


@failed.command()
@click.option("--as-planned", is_flag=True, help="Send what was planned, though a newer version runs by now.")
@_selection_options
@asynchronous
async def retry(
    ids: tuple[int, ...], workflow: str | None, everything: bool, as_planned: bool, as_json: bool
) -> None:
    """Retry failures: by ids (also of what was discarded), a workflow's, or all.

    Failed plans, and what an older version planned, are planned anew under the version that runs.

    \b
    Examples:
      askel failed retry 12 15
      askel failed retry --workflow first-points-welcome
    """
    result = await _decide("retry", ids, workflow, everything, as_planned=as_planned)
    if as_json:
        put_json(result)
    put_message(f"{pluralize(result['retried'], 'failure')} will be tried again; a running daemon does it")


@failed.command()
@_selection_options
@asynchronous
async def discard(ids: tuple[int, ...], workflow: str | None, everything: bool, as_json: bool) -> None:
    """Discard failures: by ids, a workflow's, or all. The audit keeps them.

    \b
    Example:
      askel failed discard 12
    """
    result = await _decide("discard_failed", ids, workflow, everything)
    if as_json:
        put_json(result)
    put_message(f"{pluralize(result['discarded'], 'failure')} discarded")


async def _decide(
    command: str, ids: tuple[int, ...], workflow: str | None, everything: bool, **more: bool
) -> dict[str, Any]:
    from askel_tui.sync.engine.command_bus import submit

    if bool(ids) + (workflow is not None) + everything != 1:
        raise click.UsageError("say which: ids, --workflow NAME, or --all")
    async with open_instance() as instance:
        chosen = await _chosen_ids(instance, ids, workflow)
        return dict(await submit(instance, command, {"ids": chosen, **more}, actor()))


async def _chosen_ids(instance: Instance, ids: tuple[int, ...], workflow: str | None) -> list[int]:
    if workflow is not None:
        instance.workflow_document(workflow)
    known = [each.id for each in await instance.journal.failures(workflow, ALL_FAILURES_LIMIT)]
    discarded = await instance.journal.failures(workflow, ALL_FAILURES_LIMIT, discarded=True) if ids else ()
    unknown = sorted(set(ids) - {*known, *(each.id for each in discarded)})
    if unknown:
        raise CommandError(
            f"nothing that failed has the id {', '.join(map(str, unknown))}: `askel failed list` shows ids",
            ExitCode.USAGE,
        )
    return list(dict.fromkeys(ids)) or known
