"""Backlogs: what each workflow has yet to do, and how long the oldest record of it waits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.store.errors import UnknownWorkflow
from askel_tui.sync.instance import Instance


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a workflow has yet to do: the number of records to be planned, and when the oldest record was received
    (milliseconds since 1970) that is to be planned or has operations which wait or are held."""

    unplanned: int = 0
    oldest: int | None = None


async def read_backlogs(instance: Instance, *, with_age: bool = True) -> dict[str, Backlog]:
    """Reads the backlog of each workflow; records of a paused one are not planned, and not counted.

    Without `with_age` it is cheap enough for every second, and has no `oldest`.
    """
    journal = instance.journal
    found = {}
    counts = await journal.counts()
    for state in await journal.workflow_states():
        unplanned, oldest = 0, None
        count = counts.get(state.workflow)
        if with_age and count is not None and count.waiting + count.held:
            oldest = await journal.oldest_waiting(state.workflow)
        if state.status == "active" and state.version != DIRECT_VERSION:
            try:
                doc = instance.workflow_document(state.workflow, state.version)
            except UnknownWorkflow:
                continue  # It was deleted since the states were read.
            behind = state.connection, state.position or 0, _triggers(doc.source, doc.file or doc.workflow)
            unplanned = await journal.count_unplanned(*behind)
            if with_age and unplanned and oldest is None:
                # What is planned came before what is not.
                oldest = await journal.oldest_unplanned(*behind)
        found[state.workflow] = Backlog(unplanned, oldest)
    return found


@lru_cache(maxsize=256)
def _triggers(source: str, file: str) -> tuple[str, ...]:
    workflow, _ = load_workflow(source, file)
    return () if workflow is None else tuple(workflow.triggers)
