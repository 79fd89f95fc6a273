"""Records, in order of receipt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from askel_tui.core.records.record import Record
from askel_tui.store.journal.rows import AcceptResult, StoredRecord
from askel_tui.store.journal.states import FAILED
from askel_tui.store.journal.tables.audit.commitments import SALT_BYTES, commitment, record_head
from askel_tui.store.journal.tables.audit.encoding import join_actor
from askel_tui.store.journal.transaction import Transaction, inserted_id

_SELECT = "SELECT seq, connection, received, body FROM records"
_OF_EVENT = (
    "FROM records INDEXED BY records_event WHERE connection = ? AND event = ? "
    "AND NOT EXISTS (SELECT 1 FROM backfill_records b WHERE b.seq = records.seq AND b.own = 1)"
)
"""The records of an event, but for those that came in with a backfill's file."""

EncodedRecord = tuple[str, str, str | None, str | None, bytes]
"""A record's id, event, who handed it in, whom it claims to be of, and its canonical bytes."""


def encode_records(records: Iterable[Record]) -> list[EncodedRecord]:
    """Encodes records for `accept_records`, before the transaction, so that it stays short."""
    return [(record.id, record.event, record.by, record.actor, record.encode()) for record in records]


def accept_records(
    db: Transaction, connection: str, records: Sequence[EncodedRecord], now: int
) -> list[AcceptResult]:
    """Stores records that are not stored yet; returns one result per record, in order."""
    results: list[AcceptResult] = []
    salts = db.random_bytes(SALT_BYTES * len(records))
    heads: dict[str | None, bytes] = {}
    for index, (record_id, event, by, claimed, body) in enumerate(records):
        # Joined here, since many records wait for their turn.
        actor = join_actor(by, claimed)
        salt = salts[SALT_BYTES * index : SALT_BYTES * (index + 1)]
        stored = db.execute(
            "INSERT INTO records (connection, id, event, received, actor, body, salt) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (connection, record_id, event, now, actor, body, salt),
        )
        if stored.rowcount == 1:
            head = heads.get(actor)
            if head is None:
                head = heads[actor] = record_head(connection, now, actor)
            db.accepted[inserted_id(stored)] = connection, commitment(salt, head + body)
            results.append("new")
        else:
            results.append(_compare(db, connection, record_id, body))
    return results


def _compare(db: Transaction, connection: str, record_id: str, body: bytes) -> AcceptResult:
    """Compares a record with the stored one of its id, and returns the result."""
    (before,) = db.execute(
        "SELECT body FROM records WHERE connection = ? AND id = ?", (connection, record_id)
    ).fetchone()
    return "same" if before == body else "other_body"


def records_after(
    db: Transaction, connection: str, seq: int, limit: int, *, events: Collection[str] | None = None
) -> list[StoredRecord]:
    """Reads records in order of receipt after `seq`; only those of the named events, if given."""
    return _merge_events(db, connection, "seq > ?", seq, limit, events, newest=False)


def record_seqs_after(
    db: Transaction, connection: str, seq: int, limit: int, events: Collection[str]
) -> list[int]:
    """Reads the `seq` of the records of `events` after one, in order."""
    sql = f"SELECT seq {_OF_EVENT} AND seq > ? ORDER BY seq LIMIT ?"
    found = [db.execute(sql, (connection, event, seq, limit)).fetchall() for event in dict.fromkeys(events)]
    return [number for (number,) in islice(merge(*found), limit)]


def newest_records(
    db: Transaction,
    connection: str,
    limit: int,
    *,
    events: Collection[str] | None = None,
    before: int | None = None,
) -> list[StoredRecord]:
    """Reads the newest records, newest first, with a `seq` below `before`."""
    top = 2**63 - 1 if before is None else before
    return _merge_events(db, connection, "seq < ?", top, limit, events, newest=True)


def _merge_events(
    db: Transaction,
    connection: str,
    bound: str,
    seq: int,
    limit: int,
    events: Collection[str] | None,
    *,
    newest: bool,
) -> list[StoredRecord]:
    tail = f"{bound} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
    if events is None:
        sql = f"{_SELECT} INDEXED BY records_connection WHERE connection = ? AND {tail}"
        return list(_rows(db, sql, (connection, seq, limit)))
    sql = f"SELECT seq, connection, received, body {_OF_EVENT} AND {tail}"
    # Each event's records are one range of the index; merging reads no more rows than are asked for.
    found = [_rows(db, sql, (connection, event, seq, limit)) for event in dict.fromkeys(events)]
    return list(islice(merge(*found, key=attrgetter("seq"), reverse=newest), limit))


def _rows(db: Transaction, sql: str, parameters: tuple[Any, ...]) -> Iterator[StoredRecord]:
    for row in db.execute(sql, parameters):
        yield decode_record(row)


def find_record(db: Transaction, connection: str, record_id: str) -> StoredRecord | None:
    """Finds a record by its id; None where there is none."""
    row = db.execute(f"{_SELECT} WHERE connection = ? AND id = ?", (connection, record_id)).fetchone()
    return None if row is None else decode_record(row)


def count_unplanned(db: Transaction, connection: str, after: int, events: Collection[str]) -> int:
    """Counts the records of `events` that were received after the one with the `seq` `after`."""
    sql = f"SELECT count(*) {_OF_EVENT} AND seq > ?"
    return sum(int(db.execute(sql, (connection, event, after)).fetchone()[0]) for event in set(events))


def last_record_seq(db: Transaction, connection: str) -> int:
    """Returns the `seq` of the newest record; 0 where there is none."""
    row = db.execute(
        "SELECT seq FROM records INDEXED BY records_connection WHERE connection = ? ORDER BY seq DESC LIMIT 1",
        (connection,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def oldest_waiting(db: Transaction, workflow: str) -> int | None:
    """Returns when the oldest record was received that has an operation which waits or is held under a workflow."""
    # The index is in the order of receipt: it is read from its begin to the first row that fits.
    row = db.execute(
        "SELECT r.received FROM operations o INDEXED BY operations_run JOIN records r ON r.seq = o.record_seq "
        f"WHERE o.workflow = ? AND o.state <> {FAILED} ORDER BY o.record_seq LIMIT 1",
        (workflow,),
    ).fetchone()
    return None if row is None else int(row[0])


def oldest_unplanned(db: Transaction, connection: str, after: int, events: Collection[str]) -> int | None:
    """Returns when the oldest record of `events` was received behind the one with the `seq` `after`."""
    found = _merge_events(db, connection, "seq > ?", after, 1, events, newest=False)
    return found[0].received if found else None


def count_refused(db: Transaction, connection: str, number: int) -> None:
    """Adds to the number of what was refused as no record of a connection."""
    db.execute(
        "INSERT INTO refusals (connection, number) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET number = number + excluded.number",
        (connection, number),
    )


def refused_counts(db: Transaction) -> dict[str, int]:
    """Reads the numbers of what was refused, by connection."""
    return dict(db.execute("SELECT connection, number FROM refusals").fetchall())


def decode_record(row: tuple[int, str, int, bytes]) -> StoredRecord:
    """Decodes the record in a row (seq, connection, received, body)."""
    seq, connection, received, body = row
    return StoredRecord(seq, connection, received, Record.decode(body))
