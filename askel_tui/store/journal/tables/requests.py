"""Requests in the embedded journal: written down before they are sent, closed with what became of each operation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askel_tui.core.operations import Identity, canonical_json
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.rows import Hold, OpenRequest, Outcome, RequestIntent, SettledOperation
from askel_tui.store.journal.states import FAILED, HELD, WAITING
from askel_tui.store.journal.tables import failures, holds, operations
from askel_tui.store.journal.tables import profile_ids as profiles_known
from askel_tui.store.journal.tables import rate_limit_slots as budget
from askel_tui.store.journal.tables.audit.chain import AuditChain, CarryingRequest, response_document
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.transaction import Transaction


@dataclass(slots=True)
class SettledGroup:
    """How operations that follow each other in a request end alike."""

    outcome: Outcome
    status: int | None
    response: bytes | None
    detail: str | None
    ms: int | None
    seqs: list[int] = field(default_factory=list)
    profiles: dict[int, str] = field(default_factory=dict)
    """Who was written to, as canonical JSON, where that is not who the journal names; by `seq`."""


def group_settled(settled: Iterable[SettledOperation]) -> list[SettledGroup]:
    """Settled operations as `Answer` has them: with no more of each than the journal lacks."""
    found: list[SettledGroup] = []
    before: tuple[Any, ...] | None = None
    for each in settled:
        alike = (each.outcome, each.status, each.response, each.detail, each.ms)
        if alike != before:
            before = alike
            found.append(SettledGroup(*alike))
        stored = each.operation
        found[-1].seqs.append(stored.seq)
        if stored.has_fewer_identifiers:
            found[-1].profiles[stored.seq] = canonical_json(stored.operation.profile.identifiers()).decode()
    return found


@dataclass(frozen=True, slots=True)
class RequestSettlement:
    """What `answer_request` is given, as one value."""

    request: int | None
    now: int
    settled: Sequence[SettledGroup] = ()
    delayed: Sequence[tuple[int, int, str]] = ()
    """Operations (their `seq`) to be tried again: not before when, and why."""
    held: Sequence[int] = ()
    hold: Hold | None = None
    keep_carrying: bool = False
    """Whether the request goes on carrying the held ones."""
    profiles: Mapping[str, Identity] = field(default_factory=dict)
    connection: str = ""


def open_request(db: Transaction, intent: RequestIntent, now: int) -> int:
    """Writes a request and its place in the budget down; its operations are tied to it. Raises `StaleOperations`."""
    request = budget.add_slot(db, intent.account, intent.call, now)
    listed = json.dumps(list(intent.operation_seqs))
    tied = db.execute(
        f"UPDATE operations SET request = ? WHERE seq IN (SELECT value FROM json_each(?)) AND state = {WAITING}",
        (request, listed),
    )
    if tied.rowcount != len(intent.operation_seqs):
        rows = operations.rows_by_seq(db, intent.operation_seqs)
        raise StaleOperations(
            [seq for seq in intent.operation_seqs if seq not in rows or rows[seq].state != WAITING]
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


def save_job_id(db: Transaction, request: int, job: str) -> None:
    """Writes down which job was made of a request."""
    db.execute("UPDATE requests SET job = ? WHERE id = ?", (job, request))


def answer_request(db: Transaction, answer: RequestSettlement) -> None:
    """Settles, delays and holds operations, and closes the request once it carries none any more."""
    tally, chain = CounterChanges(), AuditChain(db)
    sent, connection = None, answer.connection
    if answer.request is not None:
        sent, connection = _sent(db, answer.request, connection)
        budget.release_slot(db, answer.request, answer.now)
    ended = _settle_all(db, answer, sent, tally, chain)
    if answer.hold is not None and _exists(db, answer.hold.workflow):
        _untie(db, answer.held)
        holds.place_hold_within(db, answer.hold, answer.now, tally, chain)
    for each in answer.held:
        if (held := operations.find_row(db, each)) is None:
            continue
        if not _exists(db, held.workflow):
            _give_up(db, held, "" if answer.hold is None else answer.hold.detail, answer.now, tally, chain)
        else:
            detail = None if answer.hold is None else answer.hold.detail
            holds.return_to_queue(db, held, None if answer.hold is None else answer.hold.step, tally, detail)
            if answer.keep_carrying:
                db.execute("UPDATE operations SET request = ? WHERE seq = ?", (answer.request, each))
    for seq, due, detail in answer.delayed:
        _delay(db, seq, due, detail, answer.now, tally, chain)
    for ending, row in ended:
        _take_along(db, ending, row, sent is not None, answer.now, tally, chain)
    if answer.profiles:
        profiles_known.learn_profile_ids(db, connection, answer.profiles)
    if answer.request is not None:
        _close(db, answer.request, answer.now)
    tally.write(db)
    chain.flush()


def _sent(db: Transaction, request: int, connection: str) -> tuple[CarryingRequest, str]:
    row = db.execute(
        "SELECT method, path, digest, revision, key, connection FROM requests WHERE id = ?", (request,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no request {request} in the journal")
    return CarryingRequest(request, *row[:5]), connection or row[5]


Ended = tuple[SettledGroup, operations.QueueRow]


def _settle_all(
    db: Transaction,
    answer: RequestSettlement,
    sent: CarryingRequest | None,
    tally: CounterChanges,
    chain: AuditChain,
) -> list[Ended]:
    """Settles operations; gives back those that later ones of their record go with."""
    found = operations.rows_with_bodies(db, [seq for ending in answer.settled for seq in ending.seqs])
    behind: list[Ended] = []
    gates: list[operations.QueueRow] = []
    leaving: dict[bool, list[operations.QueueRow]] = {True: [], False: []}
    for ending in answer.settled:
        outcome = ending.outcome
        written = outcome in ("written", "unconfirmed")
        ended = [found.pop(seq) for seq in ending.seqs if seq in found and found[seq][0].state != FAILED]
        response = response_document(ending.status, ending.response, ending.detail)
        chain.append_settled(ended, outcome, response, ending.ms, sent, answer.now, ending.profiles)
        for row, _ in ended:
            if outcome == "failed":
                behind.append((ending, row))
                continue
            leaving[written and not row.gate].append(row)
            if row.gate and outcome == "skipped":
                behind.append((ending, row))
            elif row.gate and row.state == HELD:
                gates.append(row)
    for counts, left in leaving.items():
        operations.remove_rows(db, left, tally, sent=counts)
    for row in gates:
        holds.release_behind_gate(db, row, tally)
    return behind


def _take_along(
    db: Transaction,
    ending: SettledGroup,
    row: operations.QueueRow,
    attempted: bool,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
) -> None:
    """The later operations of the record go the way of a failed operation or of a gate that said no."""
    if ending.outcome == "failed":
        reason = ending.detail or f"status {ending.status}"
        # A hold that was placed meanwhile may have moved it.
        failed = operations.find_row(db, row.seq) or row
        if not _exists(db, failed.workflow):
            operations.remove_row(db, failed, tally)
            return
        failures.fail_operation(db, failed, reason, now, tally)
        if attempted:
            db.execute("UPDATE operations SET attempts = attempts + 1 WHERE seq = ?", (row.seq,))
        return
    why = f"gate {row.step}: {ending.detail}" if ending.detail else f"gate {row.step}"
    for later in operations.later_rows(db, row, states=(WAITING, HELD, FAILED)):
        chain.append_operation(later, operations.read_operation(db, later.seq), "skipped", now, why)
        operations.remove_row(db, later, tally)


def _untie(db: Transaction, held: Sequence[int]) -> None:
    """Takes operations out of their request, so that placing a hold counts and tells them too."""
    db.executemany("UPDATE operations SET request = NULL WHERE seq = ?", [(seq,) for seq in held])


def _exists(db: Transaction, workflow: str) -> bool:
    return db.execute("SELECT 1 FROM workflows WHERE workflow = ?", (workflow,)).fetchone() is not None


def _give_up(
    db: Transaction,
    of: operations.QueueRow,
    detail: str,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
) -> None:
    """What came back from a request although its workflow was deleted meanwhile is not tried again."""
    why = f"its workflow was deleted: {detail}" if detail else "its workflow was deleted"
    chain.append_operation(of, operations.read_operation(db, of.seq), "discarded", now, why)
    operations.remove_row(db, of, tally)


def _delay(
    db: Transaction,
    seq: int,
    due: int,
    detail: str,
    now: int,
    tally: CounterChanges,
    chain: AuditChain,
) -> None:
    row = operations.find_row(db, seq)
    if row is None or row.state == FAILED:
        return
    if not _exists(db, row.workflow):
        _give_up(db, row, detail, now, tally, chain)
        return
    failed = failures.earlier_failure(db, row)
    if failed is not None:
        operations.set_state(
            db, row, FAILED, tally, failure=failed[0], reason=f"after step {failed[1]} failed"
        )
        return
    holds.return_to_queue(db, row, None, tally, detail)
    db.execute(
        "UPDATE operations SET attempts = attempts + 1, due = ?, since = ? WHERE seq = ?",
        # What is tried again at once is no trouble.
        (due, row.since or (now if due > now else 0), row.seq),
    )


def _close(db: Transaction, request: int, now: int) -> None:
    # Answered in parts: what is still carried stays in doubt until the last part.
    db.execute(
        "UPDATE requests SET answered = ? WHERE id = ? AND answered IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM operations WHERE request = ?)",
        (now, request, request),
    )


def requests_in_doubt(db: Transaction, connections: Collection[str]) -> list[OpenRequest]:
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
            carried = operations.carried_operations(db, request)
            intent = RequestIntent(connection, account, call, method, path, body, revision, key, seqs)
            left = [carried[seq] for seq in seqs if seq in carried]
            found.append(OpenRequest(request, intent, opened, left, job))
    return found


def request_body(db: Transaction, request: int) -> bytes | None:
    """The body of a request; None once it was folded away."""
    row = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
    body: bytes | None = None if row is None else row[0]
    return body
