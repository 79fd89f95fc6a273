"""The command that plans anew what a workflow has not sent under older versions. A crash interrupts it anywhere."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from askel_tui.core.planning.replanning import Consents
from askel_tui.store.journal.rows import Decision, WorkflowState
from askel_tui.sync.instance import Instance
from askel_tui.sync.planning.replanning import Replanning, encode

log = logging.getLogger(__name__)


def consents_from(arguments: Mapping[str, Any]) -> Consents:
    """Reads what a person agreed to from the arguments of a command."""
    return Consents(**(arguments.get("consents") or {}))


async def replan(
    instance: Instance,
    state: WorkflowState,
    decision: Decision,
    consents: Consents,
    step: str | None = None,
) -> Mapping[str, int]:
    """Gives a workflow its state, and plans anew what it has not sent under other versions; with a `step` only the
    records of which an operation of it is unsent. Returns how many operations, by what became of them.

    From the first transaction to the last one nothing of the workflow is planned or sent. Raises `VersionUnreadable`.
    """
    journal, clock, actor = instance.journal, instance.clock, decision.actor
    replanning = await Replanning.load(instance, state.workflow, state.version, consents, step)
    holds = await replanning.holds_after()
    stored = await instance.workflow_state(state.workflow)
    if stored is None or stored.replan is None or stored.version != state.version:
        began = replace(state, replan="{}")
        await journal.begin_replan(began, decision, holds.carried, clock())
    else:
        log.info("%s: re-planning goes on where it was interrupted", state.workflow)
    await _replan_records(instance, state, replanning, actor)
    return await journal.end_replan(state, actor, holds.repaired, clock())


async def replan_revived(instance: Instance, actor: str) -> Mapping[str, int]:
    """Plans anew what had failed or was discarded and is taken up again under newer versions, and lets the workflows
    go on. Returns how many operations, by what became of them."""
    totals: Counter[str] = Counter()
    for state in await instance.journal.workflow_states():
        if state.replan is not None:
            replanning = await Replanning.load(instance, state.workflow, state.version, Consents())
            await _replan_records(instance, state, replanning, actor, revived=True)
            totals.update(await instance.journal.end_replan(state, actor, None, instance.clock()))
    return totals


async def _replan_records(
    instance: Instance, state: WorkflowState, replanning: Replanning, actor: str, *, revived: bool = False
) -> None:
    journal = instance.journal
    async for decided in replanning.decisions(revived=revived):
        left = decided
        while left:
            changed = await journal.apply_replans(state, encode(left), actor, instance.clock())
            again = await journal.read_unsent_records(state.workflow, state.version, changed)
            left = await replanning.decide(again)
