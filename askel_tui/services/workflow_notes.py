"""What is to be known of a workflow while it runs: whom its steps skip, and what the newest rules mean otherwise."""

from __future__ import annotations

from functools import lru_cache

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import Unsubscribe


@lru_cache(maxsize=256)
def workflow_notes(source: str) -> tuple[str, ...]:
    """Lists the notes about a workflow file, for people; none where it can't be read."""
    workflow, _ = load_workflow(source)
    if workflow is None:
        return ()
    skipping = [
        f"step {step.id} unsubscribes only who is on {step.list}, and skips the others: "
        "`everywhere: true` unsubscribes everybody from all marketing"
        for step in workflow.steps
        if isinstance(step, Unsubscribe) and step.list is not None and not step.everywhere
    ]
    warnings = [f"{f'step {each.step}: ' if each.step else ''}{each.message}" for each in workflow.warnings]
    return (*skipping, *warnings)
