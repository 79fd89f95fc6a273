"""How far backfills are, and what they did."""

from __future__ import annotations

from dataclasses import dataclass

from askel_tui.store.journal.backfill_rows import BackfillProgress
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """A backfill and how far it is; `outcomes` counts the audit's entries by kind and status, once it is reported."""

    id: int
    connection: str
    workflow: str
    source: str
    state: str
    as_history: bool
    began: str
    ended: str | None
    progress: BackfillProgress
    outcomes: tuple[tuple[str, str, int], ...] = ()


async def backfill_statuses(
    instance: Instance, workflow: str | None = None, *, outcomes: bool = False, unfinished: bool = False
) -> list[BackfillStatus]:
    """Reads the backfills and how far they are, oldest first; with `unfinished` only those that have not ended."""
    journal = instance.journal
    return [
        BackfillStatus(
            each.id,
            each.connection,
            each.workflow,
            each.source,
            each.state,
            each.history is not None,
            to_rfc3339(each.began),
            None if each.ended is None else to_rfc3339(each.ended),
            await journal.backfill_progress(each),
            tuple(await journal.backfill_outcomes(each)) if outcomes else (),
        )
        for each in await journal.backfills()
        if workflow in (None, each.workflow) and not (unfinished and each.ended is not None)
    ]
