"""Unplanned records: they were received and wait, since planning keeps only so far ahead of sending."""

from __future__ import annotations

from functools import lru_cache

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.store.errors import UnknownWorkflow
from askel_tui.sync.instance import Instance


async def count_unplanned(instance: Instance) -> dict[str, int]:
    """Counts the records that each active workflow has yet to plan, by workflow."""
    found = {}
    for state in await instance.journal.workflow_states():
        if state.status == "active" and state.version != DIRECT_VERSION:
            try:
                doc = instance.workflow_document(state.workflow, state.version)
            except UnknownWorkflow:
                continue  # It was deleted since the states were read.
            triggers = _triggers(doc.source, doc.file or doc.workflow)
            found[state.workflow] = await instance.journal.count_unplanned(
                state.connection, state.position or 0, triggers
            )
    return found


@lru_cache(maxsize=256)
def _triggers(source: str, file: str) -> tuple[str, ...]:
    workflow, _ = load_workflow(source, file)
    return () if workflow is None else tuple(workflow.triggers)
