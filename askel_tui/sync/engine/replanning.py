"""The command that plans anew what a workflow has not sent under older versions. A crash interrupts it anywhere."""

from __future__ import annotations

import logging
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
    instance: Instance, state: WorkflowState, decision: Decision, consents: Consents
) -> Mapping[str, int]:
    """Gives a workflow its state, and plans anew what it has not sent under other versions. Returns how many
    operations, by what became of them.

    From the first transaction to the last one nothing of the workflow is planned or sent. Raises `VersionUnreadable`.
    """
    journal, clock, actor = instance.journal, instance.clock, decision.actor
    replanning = await Replanning.load(instance, state.workflow, state.version, consents)
    holds = await replanning.holds_after()
    stored = await instance.workflow_state(state.workflow)
    if stored is None or stored.replan is None or stored.version != state.version:
        began = replace(state, replan="{}")
        await journal.begin_replan(began, decision, holds.carried, clock())
    else:
        log.info("%s: re-planning goes on where it was interrupted", state.workflow)
    async for decided in replanning.decisions():
        left = decided
        while left:
            changed = await journal.apply_replans(state, encode(left), actor, clock())
            again = await journal.read_unsent_records(state.workflow, state.version, changed)
            left = await replanning.decide(again)
    return await journal.end_replan(state, actor, holds.repaired, clock())
