"""Counters by workflow, changed in the transaction that changes what they count, so that reading them is cheap."""

from __future__ import annotations

from collections import defaultdict

from askel_tui.store.journal.rows import RecordCounts, WorkflowCounts
from askel_tui.store.journal.states import FAILED, HELD, PLANNED
from askel_tui.store.journal.transaction import Transaction


class CounterChanges:
    """The changes of counters that are gathered, and written at the end of a write."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 6)
        self._warnings: defaultdict[tuple[str, str], int] = defaultdict(int)

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
        discarded: int = 0,
    ) -> None:
        """Changes the counters of a workflow's operations of one connection."""
        change = self._changes[workflow, connection]
        for index, by in enumerate((waiting, held, failed, sent, differing, discarded)):
            change[index] += by

    def warn(self, workflow: str, kind: str, count: int = 1) -> None:
        """Counts warnings of a kind about a workflow's records."""
        self._warnings[workflow, kind] += count

    def write(self, db: Transaction) -> None:
        """Writes the gathered changes, and begins anew."""
        changed = [(*key, *change) for key, change in self._changes.items() if any(change)]
        if changed:
            db.executemany(
                "INSERT INTO counters (workflow, connection, waiting, held, failed, sent, differing, discarded) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET waiting = waiting + excluded.waiting, "
                "held = held + excluded.held, failed = failed + excluded.failed, sent = sent + excluded.sent, "
                "differing = differing + excluded.differing, discarded = discarded + excluded.discarded",
                changed,
            )
        self._changes.clear()
        if self._warnings:
            db.executemany(
                "INSERT INTO warnings (workflow, kind, count) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET count = count + excluded.count",
                [(*key, count) for key, count in self._warnings.items()],
            )
        self._warnings.clear()


def read_counts(db: Transaction) -> dict[str, WorkflowCounts]:
    """Reads the counts by workflow."""
    rows = db.execute(
        "SELECT workflow, sum(waiting), sum(held), sum(failed), sum(sent), sum(differing), sum(discarded) "
        "FROM counters GROUP BY workflow"
    )
    return {workflow: WorkflowCounts(*numbers) for workflow, *numbers in rows}


def connections_of(db: Transaction, workflow: str) -> list[str]:
    """Lists the connections that the workflow's operations were ever planned for."""
    return [name for (name,) in db.execute("SELECT connection FROM counters WHERE workflow = ?", (workflow,))]


_OPEN_RECORDS = """
SELECT workflow, count(*) FROM (SELECT DISTINCT record_seq, workflow FROM operations INDEXED BY operations_run)
GROUP BY workflow
"""
"""Records with operations in the queue: the index alone is read, not the rows."""

_FAILED_RECORDS = """
SELECT workflow, count(DISTINCT record_seq) FROM operations INDEXED BY operations_failure WHERE failure IS NOT NULL
GROUP BY workflow
"""

_HELD_RECORDS = f"""
SELECT workflow, count(DISTINCT record_seq) FROM operations o INDEXED BY operations_held WHERE state = {HELD}
AND NOT EXISTS (SELECT 1 FROM operations f WHERE f.record_seq = o.record_seq AND f.workflow = o.workflow
  AND f.state = {FAILED})
GROUP BY workflow
"""


def read_record_counts(db: Transaction) -> dict[str, RecordCounts]:
    """Counts the records by workflow. It reads an index of all operations in the queue: not for every moment."""
    unended, failed_later, held = (
        dict(db.execute(query).fetchall()) for query in (_OPEN_RECORDS, _FAILED_RECORDS, _HELD_RECORDS)
    )
    failed = read_failure_counts(db)
    planned = dict(
        db.execute(
            f"SELECT workflow, count(*) FROM runs WHERE state = {PLANNED} GROUP BY workflow"
        ).fetchall()
    )
    discarded = dict(
        db.execute(
            "SELECT workflow, count(DISTINCT record_seq) FROM discarded_failures GROUP BY workflow"
        ).fetchall()
    )
    found = {}
    for workflow in unended.keys() | failed.keys() | planned.keys():
        left, kept = unended.get(workflow, 0), held.get(workflow, 0)
        waiting = left - kept - failed_later.get(workflow, 0)
        given_up = discarded.get(workflow, 0)
        done = max(0, planned.get(workflow, 0) - left - given_up)
        found[workflow] = RecordCounts(waiting, kept, failed.get(workflow, 0), done, given_up)
    return found


def read_failure_counts(db: Transaction) -> dict[str, int]:
    """Counts the records that failed, by workflow."""
    return dict(db.execute("SELECT workflow, count(*) FROM failures GROUP BY workflow").fetchall())


def read_warnings(db: Transaction) -> dict[str, dict[str, int]]:
    """Reads the counts of warnings by workflow and kind."""
    found: dict[str, dict[str, int]] = {}
    for workflow, kind, count in db.execute(
        "SELECT workflow, kind, count FROM warnings ORDER BY workflow, kind"
    ):
        found.setdefault(workflow, {})[kind] = count
    return found


def waiting_by_connection(db: Transaction) -> dict[str, int]:
    """Counts the operations that wait, by connection; those of paused workflows wait for a person."""
    rows = db.execute(
        "SELECT c.connection, sum(c.waiting) FROM counters c LEFT JOIN workflows w ON w.workflow = c.workflow "
        "WHERE w.status IS NOT 'paused' GROUP BY c.connection"
    )
    return dict(rows.fetchall())
