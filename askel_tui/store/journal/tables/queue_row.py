"""The row of a queued operation, with the columns that the rules which move or settle it need."""

from __future__ import annotations

from typing import NamedTuple


class QueueRow(NamedTuple):
    """A queued operation without its body. `hold` is the step whose hold keeps it, `since` when its trouble began."""

    seq: int
    connection: str
    workflow: str
    version: int
    record_seq: int
    record: str
    idx: int
    step: str
    gate: int
    actor: str | None
    state: int
    hold: str | None
    attempts: int
    since: int
    request: int | None
    failure: int | None
    mark: int


QUEUE_COLUMNS = ", ".join(QueueRow._fields)
"""The columns of `operations` that a `QueueRow` holds."""
