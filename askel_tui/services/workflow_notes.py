"""What is to be known of a workflow while it runs: whom its steps skip, and what the newest rules mean otherwise."""

from __future__ import annotations

from functools import lru_cache

from askel_tui.core.drift.lost_properties import MIN_WITNESSES
from askel_tui.core.problems import Problem
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import Unsubscribe, UpsertProfile, Workflow
from askel_tui.sync.instance import Instance


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


async def unguarded_properties(instance: Instance, workflow: Workflow) -> list[Problem]:
    """Lists the mapped properties that too few profiles are known to carry: a renaming of these is not noticed."""
    # Loads the HTTP client, which the notes of `status` do not need.
    from askel_tui.sync.account_checks.property_witnesses import count_carriers

    found = []
    for step in workflow.steps:
        if not isinstance(step, UpsertProfile):
            continue
        written = [name for name, mapped in step.properties.items() if not mapped.clear]
        carriers = await count_carriers(instance.journal, workflow.name, step.id, written)
        found += [
            Problem(
                f"the property {name} is not guarded: it is known on {count} profiles, and a renaming shows from "
                f"{MIN_WITNESSES} on",
                step=step.id,
            )
            for name, count in carriers.items()
            if count < MIN_WITNESSES
        ]
    return found
