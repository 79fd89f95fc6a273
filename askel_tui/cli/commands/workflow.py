"""`askel workflow`: checks, stores, runs and shows workflows."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from askel_tui.cli.commands.configuration.rollback import rollback
from askel_tui.cli.common import (
    EXISTING_FILE,
    actor,
    asynchronous,
    json_option,
    open_instance,
    read_text,
    require_confirmation,
)
from askel_tui.cli.first_records import CHOICES, GO_ON, STAY_PAUSED, follow_first
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.lifted_output import answer_lifted, resubscribe_option
from askel_tui.cli.output import problem_rows, put_json, put_message, put_table
from askel_tui.cli.past_output import answer_past, flow_options
from askel_tui.cli.replan_output import (
    Unsent,
    choose_unsent,
    put_preview,
    put_result,
    record_writer,
    replan_options,
    unsent_options,
)
from askel_tui.cli.times import TimeParam, rfc3339
from askel_tui.cli.workflow_output import (
    MADE_LATER,
    put_problems_json,
    put_workflow,
    workflow_row,
    write_file,
)
from askel_tui.cli.workflow_upgrade import upgrade
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.history.past_records import FlowsAnswer


@click.group(cls=SuggestingGroup)
def workflow() -> None:
    """Workflows as files: what a record does in Klaviyo, step by step."""


workflow.add_command(upgrade)
workflow.add_command(rollback)


@workflow.command()
@click.argument("file", type=EXISTING_FILE)
@json_option
def validate(file: str, as_json: bool) -> None:
    """Check a workflow FILE by itself; needs no connection. All problems are listed at once.

    \b
    Example:
      askel workflow validate first-points-welcome.yaml
    """
    from askel_tui.services.workflows import InvalidWorkflow
    from askel_tui.services.workflows import validate as validate_workflow

    try:
        found = validate_workflow(read_text(file), file)
    except InvalidWorkflow as invalid:
        put_problems_json(invalid, as_json)
        raise
    for warning in found.warnings:
        put_message(f"warning: {warning}")
    if as_json:
        put_json({"workflow": found.name, "problems": [], "warnings": problem_rows(found.warnings)})
    else:
        put_message(f"{file}: workflow {found.name} is valid, {pluralize(len(found.steps), 'step')}")


@workflow.command()
@click.argument("file", type=EXISTING_FILE)
@json_option
@asynchronous
async def apply(file: str, as_json: bool) -> None:
    """Store a workflow FILE as a draft version, checked against the live account.

    Names of lists, segments, flows and metrics are pinned to what they mean now. Nothing runs before `activate`.

    \b
    Example:
      askel workflow apply first-points-welcome.yaml
    """
    from askel_tui.services.workflows import InvalidWorkflow
    from askel_tui.services.workflows import apply as apply_workflow

    text = read_text(file)
    async with open_instance() as instance:
        try:
            result = await apply_workflow(instance, text, file, actor())
        except InvalidWorkflow as invalid:
            put_problems_json(invalid, as_json)
            raise
    document = result.document
    for warning in result.warnings:
        put_message(f"warning: {warning}")
    if as_json:
        put_json(
            {
                "workflow": document.workflow,
                "version": document.version,
                "connection": document.connection,
                "changed": result.changed,
                "targets": {step: pinned.model_dump() for step, pinned in document.targets.items()},
                "warnings": problem_rows(result.warnings),
            }
        )
        return
    label = f"{document.workflow} version {document.version}"
    put_table(
        ("step", "names", "id"),
        [
            (step, f"{target.type} {target.name}", target.id or MADE_LATER)
            for step, pinned in document.targets.items()
            for target in (pinned.target, pinned.through)
            if target is not None
        ],
    )
    if result.changed:
        put_message(f"{label} is stored as a draft; `askel workflow activate {document.workflow}` runs it")
    else:
        put_message(f"{label} says the same already; nothing was changed")


@workflow.command("list")
@json_option
@asynchronous
async def list_(as_json: bool) -> None:
    """List the workflows with their state.

    \b
    Example:
      askel workflow list
    """
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.status import read_status

    async with open_instance() as instance:
        found = await read_status(instance, count_records=True)
    workflows = [row for row in found.workflows if row.state != "direct"]
    if as_json:
        put_json({"workflows": to_json(workflows)})
        return
    if not workflows:
        put_message("no workflows yet: `askel workflow apply FILE` stores one")
    names = ("name", "connection", "state", "version", "newest", "waiting", "held", "failed", "sent")
    put_table(names, [[getattr(row, name) for name in names] for row in workflows])


@workflow.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Another version than the newest.")
@json_option
@asynchronous
async def show(name: str, version: int | None, as_json: bool) -> None:
    """Show a workflow: its version, its steps with what they name, its state.

    \b
    Example:
      askel workflow show first-points-welcome
    """
    from askel_tui.core.workflows.loader import load_workflow
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.workflow_notes import unguarded_properties

    async with open_instance() as instance:
        document = instance.workflow_document(name, version)
        versions = [doc.version for doc in instance.state.versions(name)]
        shown = workflow_row(document, versions, await instance.workflow_state(name))
        loaded, _ = load_workflow(document.source, document.file or name)
        unguarded = [] if loaded is None else await unguarded_properties(instance, loaded)
        shown["unguarded"] = [to_json(each) for each in unguarded]
    if as_json:
        put_json(shown)
    else:
        put_workflow(shown, document.applied)


@workflow.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Another version than the newest.")
@click.option(
    "--output", type=click.Path(dir_okay=False, writable=True), help="A file, instead of standard output."
)
@asynchronous
async def export(name: str, version: int | None, output: str | None) -> None:
    """Write a workflow's file, as it was applied.

    \b
    Example:
      askel workflow export first-points-welcome --output welcome.yaml
    """
    async with open_instance() as instance:
        document = instance.workflow_document(name, version)
    if output is None:
        click.echo(document.source, nl=not document.source.endswith("\n"))
        return
    write_file(output, document.source)
    put_message(f"{name} version {document.version} is in {output}")


@workflow.command()
@click.argument("name")
@click.option(
    "--since", type=TimeParam(), help="Also the stored records of that time and later: a date or RFC 3339."
)
@click.option("--from-record", metavar="ID", help="Also the stored records from this one on.")
@unsent_options
@click.option(
    "--first",
    type=click.IntRange(1),
    help="Pause by itself after so many records, and show what Klaviyo holds of them beside the dry run.",
)
@click.option(GO_ON, "then", flag_value=GO_ON, help=f"After --first: {CHOICES[GO_ON]}.")
@click.option(STAY_PAUSED, "then", flag_value=STAY_PAUSED, help=f"After --first: {CHOICES[STAY_PAUSED]}.")
@flow_options
@resubscribe_option
@replan_options
@asynchronous
async def activate(
    name: str,
    since: datetime | None,
    from_record: str | None,
    unsent: Unsent | None,
    first: int | None,
    then: str | None,
    flows: FlowsAnswer | None,
    resubscribe: int | None,
    all_file: str | None,
    **agreed: bool,
) -> None:
    """Switch a workflow to its newest version: it takes the records that come in from now on.

    What waits or is held under older versions, and was never sent, can be planned anew: it is shown first. Where
    records older than an hour would start live flows or subscribe people, it says which and how many, and asks; where
    people who have opted out would be subscribed again, it asks for their number.

    \b
    Examples:
      askel workflow activate first-points-welcome --since 2026-01-01 --history
      askel workflow activate first-points-welcome --replan
      askel workflow activate first-points-welcome --since 2026-01-01 --fire-flows --first 20
    """
    from askel_tui.cli.commands.dry_run import show_run
    from askel_tui.core.planning.replanning import Consents
    from askel_tui.services.reconciling.first_records import try_first
    from askel_tui.services.replanning import preview_replan
    from askel_tui.services.workflows import activate as activate_workflow
    from askel_tui.store.locks import owner_pid

    if since is not None and from_record is not None:
        raise click.UsageError("--since and --from-record exclude each other")
    if then is not None and first is None:
        raise click.UsageError(f"{then} says something about --first, which is missing")
    start = rfc3339(since) if since else None
    consents = Consents(**agreed)
    async with open_instance() as instance:
        newest = instance.workflow_document(name).version
        with record_writer(all_file) as write:
            preview = await preview_replan(instance, name, newest, consents, write)
        if preview.totals.records:
            put_preview(preview)
            unsent = unsent or choose_unsent(preview)
        trial = None
        if first is not None:
            try_now = partial(try_first, instance, name, first, since=start, from_record=from_record)
            trial, flows = await answer_past(try_now, flows)
            show_run(trial)
        activate_now = partial(
            activate_workflow, instance, name, actor(), since=start, from_record=from_record, unsent=unsent,
            consents=consents, first=first,
        )  # fmt: skip
        result, flows = await answer_past(partial(answer_lifted, activate_now, resubscribe), flows)
        running = owner_pid(instance.home) is not None
        put_result(result.get("replanned") or {})
        if trial is not None and first is not None:
            await follow_first(instance, trial, first, then, actor())
            return
    reach = f", records since {start} included" if start else ""
    reach = f", from record {from_record} on" if from_record else reach
    put_message(f"{name} version {result['version']} is active{reach}")
    if not running:
        put_message("no daemon is running: `askel daemon` sends")


@workflow.command()
@click.argument("name")
@asynchronous
async def pause(name: str) -> None:
    """Pause a workflow: its records wait.

    \b
    Example:
      askel workflow pause first-points-welcome
    """
    await _submit("pause", name)
    put_message(f"{name} is paused: its records wait; `askel workflow resume {name}` sends them")


@workflow.command()
@click.argument("name")
@asynchronous
async def resume(name: str) -> None:
    """Resume a paused workflow: what waited is sent.

    \b
    Example:
      askel workflow resume first-points-welcome
    """
    await _submit("resume", name)
    put_message(f"{name} is active again")


async def _submit(word: str, name: str) -> None:
    from askel_tui.sync.engine.command_bus import submit

    async with open_instance() as instance:
        instance.workflow_document(name)
        await submit(instance, word, {"workflow": name}, actor())


@workflow.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asynchronous
async def delete(name: str, yes: bool) -> None:
    """Delete a workflow: its versions, holds, failures and what it has not sent. The audit stays.

    \b
    Example:
      askel workflow delete first-points-welcome --yes
    """
    from askel_tui.services.workflows import delete as delete_workflow

    async with open_instance() as instance:
        instance.workflow_document(name)
        counts = (await instance.journal.counts()).get(name)
        unsent = counts.waiting + counts.held + counts.failed if counts else 0
        require_confirmation(
            f"Delete {name}, with {pluralize(unsent, 'operation')} that it has not sent?", yes
        )
        await delete_workflow(instance, name, actor())
    put_message(f"{name} is deleted")
