"""Requests in the embedded journal: written down before they are sent, closed with what became of each operation."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from askel_tui.core.operations import Identity
from askel_tui.store import sqlite_budget as budget
from askel_tui.store import sqlite_failures as failures
from askel_tui.store import sqlite_holds as holds
from askel_tui.store import sqlite_operations as operations
from askel_tui.store import sqlite_profiles as profiles_known
from askel_tui.store.journal_errors import StaleOperations
from askel_tui.store.journal_rows import Delayed, Hold, Intent, OpenRequest, Settled, StoredOperation
from askel_tui.store.sqlite_audit import Chain, Sent
from askel_tui.store.sqlite_counters import Tally
from askel_tui.store.sqlite_schema import FAILED, HELD, WAITING


@dataclass(frozen=True, slots=True)
class Answer:
    """What `answer_request` is given, as one value."""

    request: int | None
    now: int
    settled: Sequence[Settled] = ()
    delayed: Sequence[Delayed] = ()
    held: Sequence[StoredOperation] = ()
    hold: Hold | None = None
    profiles: Mapping[str, Identity] = field(default_factory=dict)
    connection: str = ""


def open_request(db: sqlite3.Connection, intent: Intent, now: int) -> int:
    """Writes a request and its place in the budget down; its operations are tied to it. Raises `StaleOperations`."""
    request = budget.note(db, intent.account, intent.call, now)
    listed = json.dumps(list(intent.operations))
    tied = db.execute(
        f"UPDATE operations SET request = ? WHERE seq IN (SELECT value FROM json_each(?)) AND state = {WAITING}",
        (request, listed),
    )
    if tied.rowcount != len(intent.operations):
        rows = operations.rows_by_seq(db, intent.operations)
        raise StaleOperations(
            [seq for seq in intent.operations if seq not in rows or rows[seq].state != WAITING]
        )
    db.execute(
        "INSERT INTO requests (id, connection, account, call, method, path, revision, key, opened, digest, operations, "
        "body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request, intent.connection, intent.account, intent.call, intent.method, intent.path, intent.revision,
            intent.key, now, hashlib.sha256(intent.body).digest(), listed, intent.body,
        ),
    )  # fmt: skip
    return request


def note_job(db: sqlite3.Connection, request: int, job: str) -> None:
    """Writes down which job was made of a request."""
    db.execute("UPDATE requests SET job = ? WHERE id = ?", (job, request))


def answer_request(db: sqlite3.Connection, answer: Answer) -> None:
    """Settles, delays and holds operations, and closes the request once it carries none any more."""
    tally, chain = Tally(), Chain(db)
    sent, connection = None, answer.connection
    if answer.request is not None:
        sent, connection = _sent(db, answer.request, connection)
        budget.answer(db, answer.request, answer.now)
    ended = _settle_all(db, answer, sent, tally, chain)
    if answer.hold is not None and _exists(db, answer.hold.workflow):
        _untie(db, answer.held)
        holds.place_within(db, answer.hold, answer.now, tally, chain)
    for each in answer.held:
        if (held := operations.row(db, each.seq)) is None:
            continue
        if not _exists(db, held.workflow):
            _give_up(db, held, "" if answer.hold is None else answer.hold.detail, answer.now, tally, chain)
        else:
            detail = None if answer.hold is None else answer.hold.detail
            holds.keep(db, held, None if answer.hold is None else answer.hold.step, tally, detail)
    for delayed in answer.delayed:
        _delay(db, delayed, answer.now, tally, chain)
    for settled, row in ended:
        _take_along(db, settled, row, sent is not None, answer.now, tally, chain)
    if answer.profiles:
        profiles_known.learn(db, connection, answer.profiles)
    if answer.request is not None:
        _close(db, answer.request, answer.now)
    tally.write(db)
    chain.close()


def _sent(db: sqlite3.Connection, request: int, connection: str) -> tuple[Sent, str]:
    row = db.execute(
        "SELECT method, path, digest, revision, key, connection FROM requests WHERE id = ?", (request,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no request {request} in the journal")
    return Sent(request, *row[:5]), connection or row[5]


Ended = tuple[Settled, operations.Row]


def _settle_all(
    db: sqlite3.Connection, answer: Answer, sent: Sent | None, tally: Tally, chain: Chain
) -> list[Ended]:
    """Settles operations; gives back those that later ones of their record go with."""
    rows = operations.rows_by_seq(db, [settled.operation.seq for settled in answer.settled])
    ended: list[Ended] = []
    behind: list[Ended] = []
    gates: list[operations.Row] = []
    leaving: dict[bool, list[operations.Row]] = {True: [], False: []}
    for settled in answer.settled:
        row = rows.pop(settled.operation.seq, None)
        if row is None or row.state == FAILED:
            continue
        ended.append((settled, row))
        gate = row.gate
        if settled.outcome == "failed":
            behind.append((settled, row))
            continue
        leaving[not gate and settled.outcome in ("written", "unconfirmed")].append(row)
        if gate and settled.outcome == "skipped":
            behind.append((settled, row))
        elif gate and row.state == HELD:
            gates.append(row)
    chain.settled(ended, sent, answer.now)
    for counts, left in leaving.items():
        operations.leave_all(db, left, tally, sent=counts)
    for row in gates:
        holds.free_behind(db, row, tally)
    return behind


def _take_along(
    db: sqlite3.Connection,
    settled: Settled,
    row: operations.Row,
    attempted: bool,
    now: int,
    tally: Tally,
    chain: Chain,
) -> None:
    """The later operations of the record go the way of a failed operation or of a gate that said no."""
    if settled.outcome == "failed":
        reason = settled.detail or f"status {settled.status}"
        # A hold that was placed meanwhile may have moved it.
        failed = operations.row(db, row.seq) or row
        if not _exists(db, failed.workflow):
            operations.leave(db, failed, tally)
            return
        failures.fail(db, failed, settled.operation.version, reason, now, tally)
        if attempted:
            db.execute("UPDATE operations SET attempts = attempts + 1 WHERE seq = ?", (row.seq,))
        return
    why = f"gate {row.step}: {settled.detail}" if settled.detail else f"gate {row.step}"
    for later in operations.later(db, row, states=(WAITING, HELD, FAILED)):
        chain.operation(later, operations.operation(db, later.seq), "skipped", now, why)
        operations.leave(db, later, tally)


def _untie(db: sqlite3.Connection, held: Sequence[StoredOperation]) -> None:
    """Takes operations out of their request, so that placing a hold counts and tells them too."""
    db.executemany("UPDATE operations SET request = NULL WHERE seq = ?", [(each.seq,) for each in held])


def _exists(db: sqlite3.Connection, workflow: str) -> bool:
    return db.execute("SELECT 1 FROM workflows WHERE workflow = ?", (workflow,)).fetchone() is not None


def _give_up(
    db: sqlite3.Connection, of: operations.Row, detail: str, now: int, tally: Tally, chain: Chain
) -> None:
    """What came back from a request although its workflow was deleted meanwhile is not tried again."""
    why = f"its workflow was deleted: {detail}" if detail else "its workflow was deleted"
    chain.operation(of, operations.operation(db, of.seq), "discarded", now, why)
    operations.leave(db, of, tally)


def _delay(db: sqlite3.Connection, delayed: Delayed, now: int, tally: Tally, chain: Chain) -> None:
    row = operations.row(db, delayed.operation.seq)
    if row is None or row.state == FAILED:
        return
    if not _exists(db, row.workflow):
        _give_up(db, row, delayed.detail, now, tally, chain)
        return
    failed = failures.failed_before(db, row)
    if failed is not None:
        operations.move(db, row, FAILED, tally, failure=failed[0], reason=f"after step {failed[1]} failed")
        return
    holds.keep(db, row, None, tally, delayed.detail)
    db.execute(
        "UPDATE operations SET attempts = attempts + 1, due = ?, since = ? WHERE seq = ?",
        # What is tried again at once is no trouble.
        (delayed.due, row.since or (now if delayed.due > now else 0), row.seq),
    )


def _close(db: sqlite3.Connection, request: int, now: int) -> None:
    # Answered in parts: what is still carried stays in doubt until the last part.
    db.execute(
        "UPDATE requests SET answered = ? WHERE id = ? AND answered IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM operations WHERE request = ?)",
        (now, request, request),
    )


def in_doubt(db: sqlite3.Connection, connections: Collection[str]) -> list[OpenRequest]:
    """Requests without an answer, oldest first, with the operations they still carry, in the request's order."""
    rows = db.execute(
        "SELECT id, opened, operations, connection, account, call, method, path, body, revision, key, job "
        "FROM requests INDEXED BY requests_open WHERE answered IS NULL ORDER BY id"
    ).fetchall()
    wanted = set(connections)
    found = []
    for request, opened, listed, connection, account, call, method, path, body, revision, key, job in rows:
        if connection in wanted:
            seqs = json.loads(listed)
            carried = operations.carried(db, request)
            intent = Intent(connection, account, call, method, path, body, revision, key, seqs)
            left = [carried[seq] for seq in seqs if seq in carried]
            found.append(OpenRequest(request, intent, opened, left, job))
    return found
