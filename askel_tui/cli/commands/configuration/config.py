"""`askel config`: writes the configuration into a folder of files, compares the two, applies the folder."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.commands.configuration.activation import Answers, activate_newest
from askel_tui.cli.common import (
    EXISTING_FILE,
    CommandError,
    actor,
    asynchronous,
    json_option,
    open_instance,
    read_text,
    require_confirmation,
)
from askel_tui.cli.key_input import read_key
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.lifted_output import resubscribe_option
from askel_tui.cli.output import format_cell, problem_rows, put, put_json, put_message
from askel_tui.cli.past_output import flow_options
from askel_tui.cli.replan_output import KEEP_DOES, REPLAN_DOES, Unsent, unsent_options
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.core.configuration.difference import Change
    from askel_tui.services.configuration.planning import Plan
    from askel_tui.services.history.past_records import FlowsAnswer
    from askel_tui.sync.instance import Instance

_SIGNS = {"create": "+", "change": "~", "delete": "-", "leave": " "}
_DONE = {"create": "made", "change": "changed", "delete": "deleted"}

_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
_prune_option = click.option(
    "--prune", is_flag=True, help="Delete what is not in the folder; without it that is left."
)


@click.group(cls=SuggestingGroup)
def config() -> None:
    """The configuration as files: connections without keys, workflows, states, settings.

    \b
    Examples:
      askel config export brand
      askel config plan brand
      askel config apply brand
    """


@config.command()
@_folder
@json_option
@asynchronous
async def export(folder: Path, as_json: bool) -> None:
    """Write the configuration into a FOLDER; comments in its files stay.

    Keys are never written. Addresses for notices stand there by name, since they may hold secrets: an environment
    variable of that name gives each where the folder is applied.

    \b
    Example:
      askel config export brand
    """
    from askel_tui.services.configuration.planning import export as export_home

    async with open_instance() as instance:
        written = await export_home(instance, folder)
    if as_json:
        put_json({"folder": str(folder), "written": written})
    else:
        put_message(
            f"{folder}: {pluralize(len(written), 'file')} written" if written else f"{folder}: no changes"
        )


@config.command()
@_folder
@_prune_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Keep the plan, for `config apply --plan`.",
)
@json_option
@asynchronous
async def plan(folder: Path, prune: bool, output: str | None, as_json: bool) -> None:
    """Show what applying a FOLDER would change here. Nothing is changed.

    \b
    Example:
      askel config plan brand --output plan.json
    """
    async with open_instance() as instance:
        found = await _plan(instance, folder, prune, as_json)
    if output is not None:
        with click.open_file(output, "w", encoding="utf-8", atomic=True) as file:
            file.write(json.dumps(_document(found), indent=2) + "\n")
    if as_json:
        put_json(_document(found))
    else:
        _put_plan(found)


@config.command()
@_folder
@_prune_option
@click.option(
    "--plan",
    "plan_file",
    type=EXISTING_FILE,
    metavar="FILE",
    help="Apply only what this plan of `config plan` says.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@unsent_options
@flow_options
@resubscribe_option
@asynchronous
async def apply(
    folder: Path,
    prune: bool,
    plan_file: str | None,
    yes: bool,
    unsent: Unsent | None,
    flows: FlowsAnswer | None,
    resubscribe: int | None,
) -> None:
    """Apply a FOLDER: show what it changes here, ask, and change it.

    The key of a new connection comes from the environment (ASKEL_KEY_ and the connection's name, such as
    ASKEL_KEY_MAPLE_EMBER) or is asked for. Exits 3 where something has changed since the plan was made.

    \b
    Examples:
      askel config apply brand
      askel config apply brand --plan plan.json --yes --replan
    """
    from askel_tui.core.planning.replanning import Consents
    from askel_tui.services.configuration.applying import Applier

    async with open_instance() as instance:
        found = await _plan(instance, folder, prune, as_json=False)
        if plan_file is not None:
            _require_state(found, _planned_state(plan_file))
        _put_plan(found)
        if not found.work:
            return
        _require_answers(found, unsent)
        _confirm(found, yes or plan_file is not None)
        now = await _plan(instance, folder, prune, as_json=False)
        _require_state(now, found.state)
        answers = Answers(unsent, flows, Consents(), resubscribe=resubscribe)

        async def activate(workflow: str, *, paused: bool) -> int:
            return await activate_newest(instance, workflow, answers, paused=paused)

        await Applier(instance, now, actor(), _key_of, activate).apply(
            lambda change: put_message(f"{change.kind} {format_cell(change.name)}: {_DONE[change.action]}")
        )


async def _plan(instance: Instance, folder: Path, prune: bool, as_json: bool) -> Plan:
    from askel_tui.services.configuration.planning import InvalidFolder
    from askel_tui.services.configuration.planning import plan as make_plan

    try:
        return await make_plan(instance, folder, prune=prune)
    except InvalidFolder as invalid:
        if as_json:
            put_json({"problems": problem_rows(invalid.problems)})
        raise


def _document(plan: Plan) -> dict[str, Any]:
    from askel_tui.services.configuration.planning import shown_value

    return {
        "state": plan.state,
        "changes": [
            {
                "action": change.action,
                "kind": change.kind,
                "name": change.name,
                "fields": [
                    {
                        "field": each.field,
                        "before": shown_value(change, each, each.before),
                        "after": shown_value(change, each, each.after),
                    }
                    for each in change.fields
                ],
                "lines": list(change.lines),
                "blocked": change.blocked,
                "unsent": plan.unsent.get(change.name, 0) if change.kind == "workflow" else 0,
            }
            for change in plan.changes
        ],
    }


def _put_plan(plan: Plan) -> None:
    for change in plan.work:
        _put_change(plan, change)
    left = [f"{each.kind} {format_cell(each.name)}" for each in plan.changes if each.action == "leave"]
    if left:
        put_message(f"not in the folder, and left as they are: {', '.join(left)}")
    if not plan.work:
        put_message("no changes")
        return
    counts = {action: sum(each.action == action for each in plan.work) for action in _DONE}
    put_message(
        f"{counts['create']:,} to make, {counts['change']:,} to change, {counts['delete']:,} to delete"
    )


def _put_change(plan: Plan, change: Change) -> None:
    from askel_tui.services.configuration.planning import shown_value

    unsent = plan.unsent.get(change.name, 0) if change.kind == "workflow" else 0
    loses = (
        f", with {pluralize(unsent, 'operation')} not sent" if change.action == "delete" and unsent else ""
    )
    put(f"{_SIGNS[change.action]} {change.kind} {format_cell(change.name)}{loses}")
    for each in change.fields:
        before, after = (_value(shown_value(change, each, value)) for value in (each.before, each.after))
        put(
            f"    {each.field}: {before} -> {after}"
            if each.before is not None
            else f"    {each.field}: {after}"
        )
    for line in change.lines:
        put(f"      {format_cell(line)}")
    if change.blocked:
        put(f"    ! {change.blocked}")


def _value(value: Any) -> str:
    if value in (None, (), []):
        return "–"
    return format_cell(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _planned_state(file: str) -> str:
    try:
        state = json.loads(read_text(file))["state"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{file} is no plan of `askel config plan --output`", ExitCode.REFUSED) from None
    return str(state)


def _require_state(plan: Plan, state: str) -> None:
    if plan.state != state:
        raise CommandError(
            "the folder or what is here has changed since the plan was made: make another one; nothing was changed",
            ExitCode.REFUSED,
        )


def _require_answers(plan: Plan, unsent: Unsent | None) -> None:
    """Refuses before anything is changed what would have to be asked for later on, without a terminal."""
    if sys.stdin.isatty():
        return
    for change in plan.work:
        is_new_version = change.kind == "workflow" and any(each.field == "version" for each in change.fields)
        if is_new_version and plan.unsent.get(change.name) and unsent is None:
            raise CommandError(
                f"{change.name} has something unsent under the version before, and there is no terminal to ask on: "
                f"--replan {REPLAN_DOES}; --keep-plans {KEEP_DOES}",
                ExitCode.REFUSED,
            )
        if (
            change.kind == "connection"
            and change.action == "create"
            and _key_variable(change.name) not in os.environ
        ):
            raise CommandError(
                f"the key of {change.name} is missing, and there is no terminal to ask on: "
                f"set {_key_variable(change.name)}",
                ExitCode.REFUSED,
            )


def _confirm(plan: Plan, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask on: --yes applies it, --plan FILE applies what was planned",
            ExitCode.REFUSED,
        )
    require_confirmation(f"Apply {pluralize(len(plan.work), 'change')}?", yes)


def _key_variable(connection: str) -> str:
    return "ASKEL_KEY_" + re.sub(r"[^A-Z0-9]", "_", connection.upper())


def _key_of(connection: str) -> str:
    known = os.environ.get(_key_variable(connection))
    if known is None:
        put_message(f"connection {connection}:")
    return known or read_key(from_stdin=False)
