"""Pruning: deletes audit entries, records and bodies that are older than the time for which they are kept.

The audit's chain stays verifiable: before entries are deleted, a marker entry says up to which one, and what its hash
is. Everything is done in small parts, from the oldest on, so that other writes get their turn in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from askel_tui.store.journal import statements
from askel_tui.store.journal.tables.failures.discarded import forget_discarded_of_records
from askel_tui.store.journal.transaction import Transaction

_DELETE: Mapping[str, str] = {
    "audit": "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE seq <= :through ORDER BY seq LIMIT :limit)",
    "acceptances": "DELETE FROM acceptances WHERE id IN "
    "(SELECT id FROM acceptances WHERE id <= :through ORDER BY id LIMIT :limit)",
    "requests": "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE id < :first AND answered < :before "
    "AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.request = requests.id) ORDER BY id LIMIT :limit)",
    "notices": "DELETE FROM notices WHERE seq IN (SELECT seq FROM notices WHERE at < :before "
    "AND seq < (SELECT max(seq) FROM notices) ORDER BY seq LIMIT :limit)",
    "commands": "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE at < :before AND state <> 'open' "
    "ORDER BY id LIMIT :limit)",
}
"""The statement that deletes the next rows of each table. The last notice stays: its number must not be used again."""

_OLD_RECORDS = """
SELECT r.seq FROM records r WHERE r.seq > :after AND r.received < :before AND r.seq < (SELECT max(seq) FROM records)
AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.record_seq = r.seq)
AND NOT EXISTS (SELECT 1 FROM workflows w WHERE w.connection = r.connection AND w.position < r.seq)
AND r.seq NOT IN (SELECT record_seq FROM failures)
AND NOT EXISTS (SELECT 1 FROM backfills f JOIN backfill_records b ON b.backfill = f.id AND b.seq = r.seq
  WHERE f.ended IS NULL)
ORDER BY r.seq LIMIT :limit
"""


def first_audited_request(db: Transaction) -> int:
    """Finds the oldest request that an entry of the audit still names, or one beyond the last where none does."""
    (first,) = db.execute("SELECT min(request) FROM audit WHERE request IS NOT NULL").fetchone()
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()
    return int(last + 1 if first is None else first)


def delete_rows(db: Transaction, table: str, bounds: Mapping[str, int], limit: int) -> int:
    """Deletes the next rows of a table within the bounds that its statement names; returns how many."""
    return db.execute(_DELETE[table], {**bounds, "limit": limit}).rowcount


def old_records(db: Transaction, before: int, after: int, limit: int) -> list[int]:
    """Finds the `seq` of records over `after` that are older than a time and that nothing waits for any more.

    The newest record stays whatever its age: its number must not be used again.
    """
    rows = db.execute(_OLD_RECORDS, {"before": before, "after": after, "limit": limit})
    return [seq for (seq,) in rows]


def delete_records(db: Transaction, seqs: list[int]) -> int:
    """Deletes records and their runs. Returns how many records."""
    wanted = statements.json_list(seqs)
    forget_discarded_of_records(db, seqs)
    for (workflow,) in db.execute("SELECT DISTINCT workflow FROM counters").fetchall():
        db.execute(
            "DELETE FROM runs WHERE workflow = ? AND record_seq IN (SELECT value FROM json_each(?))",
            (workflow, wanted),
        )
    db.execute(
        "DELETE FROM backfill_records WHERE seq IN (SELECT value FROM json_each(?))",
        (wanted,),
    )
    return statements.delete_rows(db, "records", "seq", seqs)


def old_request_bodies(db: Transaction, before: int, after: int, limit: int) -> list[int]:
    """Finds the ids over `after` of requests that were answered before a time and still have their body."""
    rows = db.execute(
        "SELECT id FROM requests WHERE id > ? AND answered < ? AND body IS NOT NULL ORDER BY id LIMIT ?",
        (after, before, limit),
    )
    return [request for (request,) in rows]


def delete_request_bodies(db: Transaction, ids: Sequence[int]) -> int:
    """Deletes the bodies of requests; their digests stay. Returns how many."""
    sql = (
        "UPDATE requests SET body = NULL, parts = NULL, salts = NULL, erased = NULL, operations = '[]' "
        "WHERE id IN (SELECT value FROM json_each(?))"
    )
    return db.execute(sql, (statements.json_list(ids),)).rowcount
