"""A workflow as the command line shows it: a JSON document for programs, tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.output import format_cell, problem_rows, put, put_json, put_table
from askel_tui.text.times import format_timestamp, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.core.workflows.model import Step
    from askel_tui.services.workflows import InvalidWorkflow
    from askel_tui.store.journal.rows import WorkflowState
    from askel_tui.store.state.documents import PinnedStep, WorkflowDoc

MADE_LATER = "made with the first event"
"""The text that stands for the id of a metric that the account does not have yet."""


def workflow_row(
    document: WorkflowDoc, versions: Sequence[int], state: WorkflowState | None
) -> dict[str, Any]:
    """Makes the JSON document of a workflow's version, with all version numbers, the state, and the steps."""
    from askel_tui.core.workflows.loader import load_workflow

    loaded, _ = load_workflow(document.source, document.file or document.workflow)
    is_draft = state is None or state.status == "draft"
    return {
        "workflow": document.workflow,
        "connection": document.connection,
        "version": document.version,
        "versions": list(versions),
        "state": state.status if state is not None else "draft",
        "running": state.version if state is not None and not is_draft else None,
        "since": state.since if state is not None else None,
        "trigger": list(loaded.triggers) if loaded is not None else [],
        "when": loaded.when.text if loaded is not None and loaded.when is not None else None,
        "file": document.file,
        "applied": to_rfc3339(document.applied),
        "actor": document.actor,
        "steps": [_step_row(step, document.targets) for step in loaded.steps] if loaded is not None else [],
    }


def _step_row(step: Step, targets: Mapping[str, PinnedStep]) -> dict[str, Any]:
    pinned = targets.get(step.id)
    return {
        "id": step.id,
        "kind": step.kind,
        "target": pinned.target.as_dict() if pinned else None,
        "through": pinned.through.as_dict() if pinned and pinned.through else None,
    }


def put_workflow(row: Mapping[str, Any], applied: int) -> None:
    """Writes the document of a workflow as tables. `applied` is its time, in ms."""
    shown = {**row, "trigger": ", ".join(row["trigger"]), "applied": format_timestamp(applied)}
    hidden = ("versions", "steps", "unguarded")
    put_table(
        ("", ""), [(name, shown[name]) for name in shown if name not in hidden and shown[name] is not None]
    )
    put()
    steps = [
        (step["id"], step["kind"], *_target_cells(step["target"], step["through"])) for step in row["steps"]
    ]
    put_table(("step", "kind", "names", "id"), steps)
    for each in row.get("unguarded", ()):
        put(f"step {each['step']}: {format_cell(each['message'])}")


def _target_cells(target: Mapping[str, Any] | None, through: Mapping[str, Any] | None) -> tuple[str, str]:
    if target is None:
        return "", ""
    through_label = f", through {through['type']} {through['name']}" if through else ""
    return f"{target['type']} {target['name']}{through_label}", target["id"] or MADE_LATER


def put_problems_json(invalid: InvalidWorkflow, as_json: bool) -> None:
    """Writes the problems of a workflow as JSON, where that is asked for."""
    if as_json:
        put_json({"problems": problem_rows(invalid.problems)})


def write_file(path: str, text: str) -> None:
    """Writes a file whole or not at all. Raises `OSError` with the path that was given."""
    try:
        with click.open_file(path, "w", encoding="utf-8", atomic=True) as file:
            file.write(text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
