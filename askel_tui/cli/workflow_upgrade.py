"""`askel workflow upgrade`: brings a workflow file under the newest rules."""

from __future__ import annotations

import click

from askel_tui.cli.common import EXISTING_FILE, json_option, read_text
from askel_tui.cli.output import format_cell, problem_rows, put, put_json, put_message
from askel_tui.cli.workflow_output import write_file


@click.command()
@click.argument("file", type=EXISTING_FILE)
@click.option("--write", is_flag=True, help="Write the file; without it nothing is changed.")
@click.option(
    "--consent",
    "consent",
    metavar="refuse|record|resubscribe|EXPR",
    default="refuse",
    show_default=True,
    help="What becomes of people who have opted out, where a `subscribe` does not say: never subscribed again, "
    "with a newer time of the record, always, or with a newer time that EXPR gives.",
)
@json_option
def upgrade(file: str, write: bool, consent: str, as_json: bool) -> None:
    """Show what brings a workflow FILE under the newest rules (`askel: 2` at its head), and what they refuse in it.

    \b
    Examples:
      askel workflow upgrade first-points-welcome.yaml
      askel workflow upgrade first-points-welcome.yaml --write
      askel workflow upgrade newsletter.yaml --consent data.agreed_at
    """
    from askel_tui.core.workflows.consent_choices import written_choice
    from askel_tui.core.workflows.upgrade import upgrade_file
    from askel_tui.services.workflows import InvalidWorkflow

    found = upgrade_file(read_text(file), file, written_choice(consent))
    if as_json:
        shown = {"file": file, "needed": found.is_needed, "diff": found.diff(file)}
        put_json({**shown, "problems": problem_rows(found.problems), "changes": problem_rows(found.changes)})
    else:
        for line in found.diff(file):
            put(format_cell(line))
    for change in found.changes:
        put_message(f"changes: {change}")
    if found.problems:
        raise InvalidWorkflow(found.problems)
    if not found.is_needed:
        put_message(f"{file} follows the newest rules already")
    elif write:
        write_file(file, found.after)
        put_message(f"{file} follows the newest rules now; `askel workflow apply {file}` stores it")
    else:
        put_message("nothing is written; --write writes it")
