"""Requests: recorded before they are sent, and closed with the result of each operation."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity
from askel_tui.store.journal import statements
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.rows import (
    GateAnswer,
    Hold,
    JoinedLines,
    OpenRequest,
    Outcome,
    RequestIntent,
    SettledOperation,
)
from askel_tui.store.journal.states import FAILED, HELD, MAY_BE_WRITTEN, WAITING
from askel_tui.store.journal.tables import lines, operations, profile_ids, rate_limit_slots, superseded
from askel_tui.store.journal.tables.audit.chain import CarryingRequest
from askel_tui.store.journal.tables.audit.commitments import SALT_BYTES, body_digest
from askel_tui.store.journal.tables.audit.encoding import gate_document, response_document
from askel_tui.store.journal.tables.failures import failed as failures
from askel_tui.store.journal.tables.holds import placing
from askel_tui.store.journal.tables.queue_row import QueueRow
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

CLOCK_MARGIN_MS = 60_000
"""The time by which a clock may have stepped back, where entries are looked for by their time, in milliseconds."""


@dataclass(slots=True)
class SettledGroup:
    """Operations that follow each other in a request and end alike."""

    outcome: Outcome
    status: int | None
    response: bytes | None
    detail: str | None
    ms: int | None
    differences: Sequence[Mapping[str, Any]]
    gate: GateAnswer | None
    warning: str | None
    seqs: list[int] = field(default_factory=list)
    profiles: dict[int, str] = field(default_factory=dict)
    """The identifiers that were written to, as canonical JSON, by `seq`, where they are not the stored ones."""


def group_settled(settled: Iterable[SettledOperation]) -> list[SettledGroup]:
    """Groups settled operations for a `RequestSettlement`, which leaves out everything that the journal has already."""
    found: list[SettledGroup] = []
    before: tuple[Any, ...] | None = None
    for each in settled:
        alike = (
            each.outcome,
            each.status,
            each.response,
            each.detail,
            each.ms,
            each.differences,
            each.gate,
            each.warning,
        )
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
    """The outcome of a request: the arguments of `Journal.answer_request` as one value that can be pickled."""

    request: int | None
    now: int
    settled: Sequence[SettledGroup] = ()
    delayed: Sequence[tuple[int, int, str]] = ()
    """The operations that are tried again: `seq`, not before when (milliseconds since 1970), and why."""
    held: Sequence[int] = ()
    hold: Hold | None = None
    keep_carrying: bool = False
    """True if the request goes on carrying the held operations."""
    profiles: Mapping[str, Identity] = field(default_factory=dict)
    connection: str = ""
    may_be_written: Sequence[int] = ()
    """The delayed and held operations that the request may have written: these are not planned anew."""


def open_request(db: Transaction, intent: RequestIntent, now: int) -> int:
    """Records that a request is about to be sent, and takes its rate-limit slot. Returns its id.

    Raises `StaleOperations` where one of its operations no longer waits; then nothing was written.
    """
    request = rate_limit_slots.add_slot(db, intent.account, intent.call, now)
    listed = statements.json_list(intent.operation_seqs)
    tied = db.execute(
        f"UPDATE operations SET request = ? WHERE seq IN (SELECT value FROM json_each(?)) AND state = {WAITING}",
        (request, listed),
    )
    if tied.rowcount != len(intent.operation_seqs):
        rows = operations.rows_by_seq(db, intent.operation_seqs)
        raise StaleOperations(
            [seq for seq in intent.operation_seqs if seq not in rows or rows[seq].state != WAITING]
        )
    lengths = intent.parts or (len(intent.body),)
    salts = db.random_bytes(SALT_BYTES * len(lengths))
    digest = body_digest(intent.body, lengths, salts, {})
    if digest is None:
        raise ValueError("the parts of a request don't make its body")
    db.execute(
        "INSERT INTO requests (id, connection, account, call, method, path, revision, key, opened, digest, operations, "
        "body, parts, salts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request, intent.connection, intent.account, intent.call, intent.method, intent.path, intent.revision,
            intent.key, now, digest, listed, intent.body, statements.json_list(lengths), salts,
        ),
    )  # fmt: skip
    return request


def save_job_id(db: Transaction, request: int, job: str) -> None:
    """Records which job Klaviyo made of a request: the request is answered by that job's end."""
    db.execute("UPDATE requests SET job = ? WHERE id = ?", (job, request))


def answer_request(db: Transaction, answer: RequestSettlement) -> JoinedLines:
    """Settles, delays and holds operations, and closes the request once it carries none any more; returns the lines
    that were joined."""
    joined: JoinedLines = ()
    with UnitOfWork(db, answer.now) as work:
        carried_by, connection = None, answer.connection
        if answer.request is not None:
            carried_by, connection = _carrying_request(db, answer.request, connection)
            rate_limit_slots.release_slot(db, answer.request, answer.now)
        followed = _settle(work, answer, carried_by)
        if answer.hold is not None and _exists(db, answer.hold.workflow):
            _untie(db, answer.held)
            placing.add_hold_within(work, answer.hold)
        for seq in answer.held:
            _hold(work, answer, seq)
        for seq, due, detail in answer.delayed:
            _delay(work, seq, due, detail)
        for group, row in followed:
            _settle_later_operations(work, group, row, attempted=carried_by is not None)
        if answer.may_be_written:
            db.execute(
                f"UPDATE operations SET mark = {MAY_BE_WRITTEN} WHERE seq IN (SELECT value FROM json_each(?))",
                (json.dumps(list(answer.may_be_written)),),
            )
        if answer.profiles:
            new = profile_ids.learn_profile_ids(db, connection, answer.profiles)
            joined = lines.link_profiles(db, connection, new)
        if answer.request is not None:
            _close(db, answer.request, answer.now)
    return joined


def _carrying_request(db: Transaction, request: int, connection: str) -> tuple[CarryingRequest, str]:
    row = db.execute(
        "SELECT method, path, digest, revision, key, connection FROM requests WHERE id = ?", (request,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no request {request} in the journal")
    return CarryingRequest(request, *row[:5]), connection or row[5]


def _settle(
    work: UnitOfWork, answer: RequestSettlement, carried_by: CarryingRequest | None
) -> list[tuple[SettledGroup, QueueRow]]:
    """Settles operations; returns the failed ones and the gates that said no, which the later ones of their record
    follow."""
    found = operations.rows_with_bodies(work.db, [seq for group in answer.settled for seq in group.seqs])
    followed: list[tuple[SettledGroup, QueueRow]] = []
    answered_gates: list[QueueRow] = []
    waited: list[QueueRow] = []
    leaving: dict[bool, list[QueueRow]] = {True: [], False: []}  # by whether they count as sent
    for group in answer.settled:
        outcome = group.outcome
        written = outcome in ("written", "unconfirmed")
        settled = [found.pop(seq) for seq in group.seqs if seq in found and found[seq][0].state != FAILED]
        if group.warning is not None:
            for row, _ in settled:
                work.counters.warn(row.workflow, group.warning)
        response = response_document(group.status, group.response, group.detail, group.differences)
        if written and settled and carried_by is not None and not answer.profiles:
            bodies = (body for _, body in settled)
            profile_ids.forget_moved(work.db, settled[0][0].connection, bodies)
        if group.gate is not None:
            response = {**(response or {}), "gate": gate_document(group.gate, work.now)}
        work.audit.append_settled(settled, outcome, response, group.ms, carried_by, group.profiles)
        for row, _ in settled:
            if group.differences:
                work.counters.add(row.workflow, row.connection, differing=1)
            if outcome == "failed":
                followed.append((group, row))
                continue
            leaving[written and not row.gate].append(row)
            if row.gate and outcome == "skipped":
                followed.append((group, row))
            elif row.gate and row.state == HELD:
                answered_gates.append(row)
            if row.gate and outcome == "passed" and row.since:
                waited.append(row)
    for sent, rows in leaving.items():
        operations.remove_rows(work, rows, sent=sent)
    for row in answered_gates:
        placing.release_behind_gate(work, row)
    for row in waited:
        # Later records went on meanwhile: what they wrote is not written over.
        later = operations.later_rows(work.db, row, states=(WAITING, HELD))
        superseded.drop_superseded(work, later, _entry_before(work.db, row.since - CLOCK_MARGIN_MS))
    return followed


def _entry_before(db: Transaction, at: int) -> int:
    """Finds the last audit entry before a time."""
    (first,) = db.execute("SELECT min(seq) FROM audit WHERE at >= ?", (at,)).fetchone()
    if first is None:
        (first,) = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM audit").fetchone()
    return int(first) - 1


def _settle_later_operations(
    work: UnitOfWork, group: SettledGroup, row: QueueRow, *, attempted: bool
) -> None:
    """Fails the later operations of a failed operation's record; skips those of a gate that said no."""
    if group.outcome == "failed":
        # A hold that was placed meanwhile may have moved it.
        failed = operations.find_row(work.db, row.seq) or row
        if not _exists(work.db, failed.workflow):
            operations.remove_row(work, failed)
            return
        failures.fail_operation(work, failed, group.detail or f"status {group.status}")
        if attempted:
            work.db.execute("UPDATE operations SET attempts = attempts + 1 WHERE seq = ?", (row.seq,))
        return
    why = f"gate {row.step}: {group.detail}" if group.detail else f"gate {row.step}"
    for later in operations.later_rows(work.db, row, states=(WAITING, HELD, FAILED)):
        work.audit.append_operation(later, operations.read_operation(work.db, later.seq), "skipped", why)
        operations.remove_row(work, later)


def _untie(db: Transaction, held: Sequence[int]) -> None:
    """Takes operations out of their request, so that placing a hold counts and audits them too."""
    db.executemany("UPDATE operations SET request = NULL WHERE seq = ?", [(seq,) for seq in held])


def _hold(work: UnitOfWork, answer: RequestSettlement, seq: int) -> None:
    """Puts an operation behind the settlement's hold, or back into the queue without one."""
    row = operations.find_row(work.db, seq)
    if row is None:
        return
    step, detail = (None, None) if answer.hold is None else (answer.hold.step, answer.hold.detail)
    if not _exists(work.db, row.workflow):
        _discard(work, row, detail or "")
        return
    placing.return_to_queue(work, row, step, detail)
    if answer.keep_carrying:
        work.db.execute("UPDATE operations SET request = ? WHERE seq = ?", (answer.request, seq))


def _delay(work: UnitOfWork, seq: int, due: int, detail: str) -> None:
    row = operations.find_row(work.db, seq)
    if row is None or row.state == FAILED:
        return
    if not _exists(work.db, row.workflow):
        _discard(work, row, detail)
        return
    failed = failures.earlier_failure(work.db, row)
    if failed is not None:
        failure, step = failed
        operations.set_state(work, row, FAILED, failure=failure, reason=f"after step {step} failed")
        return
    placing.return_to_queue(work, row, None, detail)
    work.db.execute(
        "UPDATE operations SET attempts = attempts + 1, due = ?, since = ? WHERE seq = ?",
        # An operation that is tried again at once is in no trouble.
        (due, row.since or (work.now if due > work.now else 0), row.seq),
    )


def _discard(work: UnitOfWork, row: QueueRow, detail: str) -> None:
    """Discards an operation that came back from a request after its workflow was deleted."""
    why = f"its workflow was deleted: {detail}" if detail else "its workflow was deleted"
    work.audit.append_operation(row, operations.read_operation(work.db, row.seq), "discarded", why)
    operations.remove_row(work, row)


def _exists(db: Transaction, workflow: str) -> bool:
    return db.execute("SELECT 1 FROM workflows WHERE workflow = ?", (workflow,)).fetchone() is not None


def _close(db: Transaction, request: int, now: int) -> None:
    # Answered in parts, a request that still carries operations stays in doubt until the last part.
    db.execute(
        "UPDATE requests SET answered = ? WHERE id = ? AND answered IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM operations WHERE request = ?)",
        (now, request, request),
    )


def requests_in_doubt(db: Transaction, connections: Collection[str]) -> list[OpenRequest]:
    """Lists requests that were opened and never answered, oldest first, with the operations they still carry, in
    order."""
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
    """Returns the body of a request; None once it was pruned."""
    row = db.execute("SELECT body FROM requests WHERE id = ?", (request,)).fetchone()
    body: bytes | None = None if row is None else row[0]
    return body


def count_carried(db: Transaction, account: str, call: str) -> int:
    """Counts the operations that the account's unanswered requests of a call carry."""
    (count,) = db.execute(
        "SELECT count(*) FROM requests r INDEXED BY requests_open JOIN operations o ON o.request = r.id "
        "WHERE r.answered IS NULL AND r.account = ? AND r.call = ?",
        (account, call),
    ).fetchone()
    return int(count)
