"""Activates a version with the answers that flags gave, and asks what nobody said yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from askel_tui.cli.common import actor
from askel_tui.cli.lifted_output import answer_lifted
from askel_tui.cli.past_output import answer_past
from askel_tui.cli.replan_output import Unsent, choose_unsent, put_preview, put_result, record_writer

if TYPE_CHECKING:
    from askel_tui.core.planning.replanning import Consents
    from askel_tui.services.history.past_records import FlowsAnswer
    from askel_tui.sync.instance import Instance


@dataclass(frozen=True, slots=True)
class Answers:
    """What flags answered beforehand."""

    unsent: Unsent | None
    flows: FlowsAnswer | None
    consents: Consents
    all_file: str | None = None
    """A file for what becomes of every record."""
    resubscribe: int | None = None
    """How many people who have opted out may be subscribed again."""


async def activate_newest(instance: Instance, workflow: str, answers: Answers, *, paused: bool) -> int:
    """Activates the newest version of a workflow, and returns its number. Raises `CommandError` as `choose` does."""
    from askel_tui.services.replanning import preview_replan
    from askel_tui.services.workflows import activate

    unsent, newest = answers.unsent, instance.workflow_document(workflow).version
    with record_writer(answers.all_file) as write:
        preview = await preview_replan(instance, workflow, newest, answers.consents, write)
    if preview.totals.records:
        put_preview(preview)
        unsent = unsent or choose_unsent(preview)
    do = partial(
        activate, instance, workflow, actor(), unsent=unsent, consents=answers.consents, paused=paused
    )
    result, _ = await answer_past(partial(answer_lifted, do, answers.resubscribe), answers.flows)
    put_result(result.get("replanned") or {})
    return newest
