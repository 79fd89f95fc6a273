"""The links among identifiers, from which the lines of operations follow; see `core.lines`."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence

from askel_tui.core.lines import (
    MAX_PARTNERS,
    LinkRow,
    Links,
    connection_numbers,
    identifier_numbers,
    kind_of,
)
from askel_tui.core.operations import Identity
from askel_tui.store.journal import statements
from askel_tui.store.journal.rows import Decision, JoinedLines, PlannedRun, StoredOperation, WorkflowState
from askel_tui.store.journal.tables import notices
from askel_tui.store.journal.tables.audit.chain import SYSTEM_ACTOR
from askel_tui.store.journal.tables.unit_of_work import UnitOfWork
from askel_tui.store.journal.transaction import Transaction

MAX_RECENT_ROWS = 30_000
"""The number of rows that `recent_lines` takes before they go into `lines` together. Numbers are in no order, so that
each row would change a page of its own of a large table; many rows at once share pages."""

MIN_COUNTED_ROWS = 100
"""The number of new rows after which the recent ones are counted; fewer are counted one time in as many."""

_KNOWN_AT_ONCE = 10_000
"""The number of profiles of an older journal that are linked at once."""

_COLUMNS = "number, toward, iif(partners IS NULL, NULL, hex(partners))"
_REPLACING = "ON CONFLICT DO UPDATE SET toward = excluded.toward, partners = excluded.partners"

SHARED_KIND = "shared_identifier"
SHARED_REASON = (
    f"it stands beside more than {MAX_PARTNERS} e-mails or external ids, and joins no further lines"
)


def read_links(db: Transaction, numbers: Collection[int]) -> Links:
    """Reads the links of identifiers, and of all that these lead to."""
    rows: dict[int, LinkRow] = {}
    missing: Collection[int] = numbers
    while missing:
        found = [
            row
            for table in ("lines", "recent_lines")
            for row in statements.read_rows(db, table, _COLUMNS, "number", missing)
        ]
        rows |= {number: LinkRow(toward, _decode(partners)) for number, toward, partners in found}
        missing = {toward for number, toward, _ in found if toward != number} - rows.keys() - {*missing}
    return Links(rows)


def lines_of(db: Transaction, connection: str, numbers: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Finds the lines of records that are about to be planned, as if they were linked already.

    The numbers are those of `identifier_numbers`, by record.
    """
    salted = [connection_numbers(connection, each) for each in numbers]
    links = read_links(db, {number for each in salted for number in each})
    for each in salted:
        links.link(each)
    return [links.lines(each) for each in salted]


def with_lines(db: Transaction, operations: Iterable[StoredOperation]) -> list[StoredOperation]:
    """Gives operations that were read from the journal their lines, as they are now."""
    found = list(operations)
    numbers = {}
    for stored in found:
        owner = (stored.connection, stored.operation.profile)
        if owner not in numbers:
            numbers[owner] = connection_numbers(stored.connection, identifier_numbers(owner[1]))
    links = read_links(db, {number for each in numbers.values() for number in each})
    for stored in found:
        stored.lines = links.lines(numbers[stored.connection, stored.operation.profile])
    return found


def link_runs(
    work: UnitOfWork, state: WorkflowState, runs: Sequence[PlannedRun]
) -> tuple[list[Sequence[int]], JoinedLines]:
    """Links what records name together; returns the lines of each run, and those that were joined."""
    salted = [connection_numbers(state.connection, run.keys) for run in runs]
    links = read_links(work.db, {number for each in salted for number in each})
    shared: dict[str, list[int]] = {}
    for run, numbers in zip(runs, salted, strict=True):
        links.link(numbers)
        if links.newly_shared:
            shared[run.record], links.newly_shared = links.newly_shared, []
    _report_shared(work, state.connection, state.workflow, shared)
    _save(work.db, links)
    return [links.lines(each) for each in salted], links.joined


def link_known(db: Transaction) -> None:
    """Links what the audit and the queue of an older journal name together."""
    rows = db.execute(
        "SELECT connection, profile FROM audit WHERE profile LIKE '{%\",\"%' UNION "
        "SELECT connection, json_extract(CAST(body AS TEXT), '$.profile') FROM operations "
        'WHERE CAST(body AS TEXT) LIKE \'%"profile":{%","%\''
    ).fetchall()
    by_connection: dict[str, list[Identity]] = {}
    for connection, profile in rows:
        by_connection.setdefault(connection, []).append(Identity(**json.loads(profile)))
    for connection, profiles in by_connection.items():
        for start in range(0, len(profiles), _KNOWN_AT_ONCE):
            link_profiles(db, connection, profiles[start : start + _KNOWN_AT_ONCE])


def link_profiles(db: Transaction, connection: str, profiles: Iterable[Identity]) -> JoinedLines:
    """Links the identifiers that answers showed on one profile each; returns the lines that were joined."""
    salted = [connection_numbers(connection, identifier_numbers(each)) for each in profiles]
    links = read_links(db, {number for each in salted for number in each})
    for numbers in salted:
        links.link(numbers)
    _save(db, links)
    return links.joined


def _save(db: Transaction, links: Links) -> None:
    if not links.changed:
        return
    if links.joined:
        _join_passed(db, links.joined)
    rows = [(number, each.toward, _encode(each.partners)) for number, each in sorted(links.changed.items())]
    statements.insert_rows(db, "recent_lines", "number, toward, partners", rows, _REPLACING)
    if len(rows) < MIN_COUNTED_ROWS and rows[0][0] % MIN_COUNTED_ROWS:
        return  # Counting takes longer than a few rows: after some of them is enough.
    (recent,) = db.execute("SELECT count(*) FROM recent_lines").fetchone()
    if recent >= MAX_RECENT_ROWS:
        db.execute(f"INSERT INTO lines SELECT * FROM recent_lines WHERE true ORDER BY number {_REPLACING}")
        db.execute("DELETE FROM recent_lines")


def _join_passed(db: Transaction, joined: JoinedLines) -> None:
    """Moves what passed a paused workflow in lines that are no more to the lines that they went into."""
    if db.execute("SELECT 1 FROM passed_writes LIMIT 1").fetchone() is not None:
        moved = [(into, line) for line, into in joined]
        db.executemany("UPDATE OR REPLACE passed_writes SET line = ? WHERE line = ?", moved)


def _report_shared(
    work: UnitOfWork, connection: str, workflow: str, shared: Mapping[str, Sequence[int]]
) -> None:
    """Reports the identifiers that became shared, by the record that made them so: an entry each, and one notice."""
    if not shared:
        return
    for record, numbers in shared.items():
        for number in numbers:
            detail = {"identifier": kind_of(number), "why": SHARED_REASON}
            decision = Decision(SHARED_KIND, SYSTEM_ACTOR, connection, workflow, detail=detail, record=record)
            work.audit.append_decision(decision)
    record, (number, *_) = next(iter(shared.items()))
    others = sum(len(each) for each in shared.values()) - 1
    notices.add_shared_notice(work.db, connection, workflow, kind_of(number), record, others, work.now)


def _encode(partners: tuple[int, ...] | None) -> bytes | None:
    return None if partners is None else struct.pack(f"<{len(partners)}q", *partners)


def _decode(partners: str | None) -> tuple[int, ...] | None:
    return None if partners is None else struct.unpack(f"<{len(partners) // 16}q", bytes.fromhex(partners))
