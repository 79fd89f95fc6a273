"""Counters by workflow, changed in the transaction that changes what they count, so that reading them is cheap."""

from __future__ import annotations

from collections import defaultdict

from askel_tui.store.journal.rows import WorkflowCounts
from askel_tui.store.journal.transaction import Transaction


class CounterChanges:
    """The changes of counters that are gathered, and written at the end of a write."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)

    def add(
        self,
        workflow: str,
        connection: str,
        *,
        waiting: int = 0,
        held: int = 0,
        failed: int = 0,
        sent: int = 0,
        differing: int = 0,
    ) -> None:
        """Changes the counters of a workflow's operations of one connection."""
        change = self._changes[workflow, connection]
        for index, by in enumerate((waiting, held, failed, sent, differing)):
            change[index] += by

    def write(self, db: Transaction) -> None:
        """Writes the gathered changes, and begins anew."""
        db.executemany(
            "INSERT INTO counters (workflow, connection, waiting, held, failed, sent, differing) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET waiting = waiting + excluded.waiting, "
            "held = held + excluded.held, failed = failed + excluded.failed, sent = sent + excluded.sent, "
            "differing = differing + excluded.differing",
            [(*key, *change) for key, change in self._changes.items() if any(change)],
        )
        self._changes.clear()


def read_counts(db: Transaction) -> dict[str, WorkflowCounts]:
    """Reads the counts by workflow."""
    rows = db.execute(
        "SELECT workflow, sum(waiting), sum(held), sum(failed), sum(sent), sum(differing) "
        "FROM counters GROUP BY workflow"
    )
    return {workflow: WorkflowCounts(*numbers) for workflow, *numbers in rows}


def connections_of(db: Transaction, workflow: str) -> list[str]:
    """Lists the connections that the workflow's operations were ever planned for."""
    return [name for (name,) in db.execute("SELECT connection FROM counters WHERE workflow = ?", (workflow,))]
