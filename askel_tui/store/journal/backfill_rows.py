"""The rows of backfills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

BackfillState = Literal["loading", "running", "paused", "done", "discarded"]


class Backfill(NamedTuple):
    """Records of the past that a workflow takes beside those that come in.

    `source` is what a person sees of where they come from, `digest` tells it from others; `history` is the encoded rule
    by which they are planned, where they are not to start flows. `position` is the `seq` of the last one planned.
    """

    id: int
    connection: str
    workflow: str
    source: str
    digest: str
    state: BackfillState
    history: str | None
    actor: str
    began: int
    ended: int | None = None
    records: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How many records of a backfill there are, are planned, are done, wait, are held, and failed."""

    records: int
    planned: int
    done: int
    waiting: int
    held: int
    failed: int
