"""`askel workflow rollback`: an older version of a workflow runs again, as a new one."""

from __future__ import annotations

import click

from askel_tui.cli.commands.configuration.activation import Answers, activate_newest
from askel_tui.cli.common import CommandError, actor, asynchronous, open_instance
from askel_tui.cli.lifted_output import resubscribe_option
from askel_tui.cli.output import put_message
from askel_tui.cli.replan_output import Unsent, replan_options, unsent_options
from askel_tui.core.exit_codes import ExitCode


@click.command()
@click.argument("name")
@click.option("--to", "version", type=click.IntRange(1), help="The version; without it the one before.")
@unsent_options
@resubscribe_option
@replan_options
@asynchronous
async def rollback(
    name: str,
    version: int | None,
    unsent: Unsent | None,
    resubscribe: int | None,
    all_file: str | None,
    **agreed: bool,
) -> None:
    """Run an older version of a workflow again: its text becomes the newest version, checked against the account.

    \b
    Example:
      askel workflow rollback first-points-welcome --replan
    """
    from askel_tui.core.planning.replanning import Consents
    from askel_tui.services.workflows import apply as apply_workflow

    async with open_instance() as instance:
        state = await instance.workflow_state(name)
        runs = instance.workflow_document(name, state.version if state else None)
        if state is None or state.status == "draft":
            raise CommandError(f"{name} never ran: there is nothing to go back from", ExitCode.REFUSED)
        older = [each for each in instance.state.versions(name) if each.version < runs.version]
        if version is None and not older:
            raise CommandError(f"{name} has no version before {runs.version}", ExitCode.REFUSED)
        wanted = instance.workflow_document(name, version or older[-1].version)
        if wanted.source == runs.source:
            put_message(f"version {wanted.version} says what runs already; nothing was changed")
            return
        applied = await apply_workflow(instance, wanted.source, wanted.file or name, actor())
        for warning in applied.warnings:
            put_message(f"warning: {warning}")
        answers = Answers(unsent, None, Consents(**agreed), all_file, resubscribe)
        made = await activate_newest(instance, name, answers, paused=state.status == "paused")
    put_message(f"{name} runs version {wanted.version} again, as version {made}")
