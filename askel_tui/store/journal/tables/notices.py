"""Notices to the team, and how far they were delivered.

An incident is announced once: the notice of its first hold names all steps that it stops, those of the others are
quiet, and so are those of the ends of all holds but the last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from askel_tui.core import notices as texts
from askel_tui.core.hold_causes import Cause, hold_cause
from askel_tui.core.incidents import (
    MIN_ACCOUNTS_OF_WIDE_OUTAGE,
    SEPARATOR,
    WIDE_OUTAGE,
    WIDE_OUTAGE_WINDOW_MS,
    reminder_due,
)
from askel_tui.core.notices import AffectedStep
from askel_tui.store.journal.notice_rows import DeliveryPosition, Notice, WarningNotice
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.store.journal.tables.audit.chain import write_decision
from askel_tui.store.journal.transaction import Transaction

WAITING_CAUSE = "waiting_long"
"""The cause of notices about records that wait too long; their detail is the workflow."""

RETIREMENT_CAUSE = "retirement"
"""The cause of notices about a revision that retires."""

_NAMES = (
    "seq", "at", "connection", "workflow", "step", "kind", "text", "cause", "detail", "quiet", "incident",
    "connections",
)  # fmt: skip


def read_notices(db: Transaction, after: int = 0) -> list[Notice]:
    """Reads the notices with a higher `seq` than `after`, oldest first."""
    rows = db.execute(f"SELECT {', '.join(_NAMES)} FROM notices WHERE seq > ? ORDER BY seq", (after,))
    found = []
    for row in rows:
        named = dict(zip(_NAMES, row, strict=True))
        own = [] if named["quiet"] else [named["connection"]]
        connections = tuple(own if named["connections"] is None else json.loads(named["connections"]))
        found.append(Notice(**{**named, "quiet": bool(named["quiet"]), "connections": connections}))
    return found


def add_hold_notice(db: Transaction, hold: Hold, waiting: int, now: int) -> None:
    """Adds the notice of a hold that was just placed, or adds the hold to that of its incident."""
    hold = _join_outages(db, hold, now)
    first = _open_notice(db, hold.incident) if _standing(db, hold.incident) > 1 else None
    affected = [AffectedStep(hold.workflow, hold.step, waiting, hold.connection)]
    text = texts.hold_notice(hold.connection, hold.cause, hold.detail, hold.since, affected, stays=hold.stays)
    _insert(db, now, "hold", hold, text, quiet=first is not None)
    if first is not None:
        holds = _holds_of(db, hold.incident)
        db.execute("UPDATE notices SET text = ? WHERE seq = ?", (describe_incident(holds), first))


def describe_incident(holds: Sequence[Hold]) -> str:
    """Writes the notice of an incident with all steps that it holds."""
    first = holds[0]
    affected = texts.affected_steps(
        [AffectedStep(each.workflow, each.step, each.waiting, each.connection) for each in holds]
    )
    since, stays = min(each.since for each in holds), any(each.stays for each in holds)
    return texts.hold_notice(first.connection, first.cause, first.detail, since, affected, stays=stays)


def add_release_notice(db: Transaction, hold: Hold, actor: str, operations: int, now: int) -> None:
    """Adds the notice of a hold that was just ended; that of the last one of an incident is about all of it."""
    opened = _open_notice(db, hold.incident) or 0
    steps, ended = db.execute(
        "SELECT count(DISTINCT json_array(connection, workflow, step)) FILTER (WHERE kind = 'hold'), "
        "coalesce(sum(operations), 0) FROM notices WHERE incident = ? AND seq >= ?",
        (hold.incident, opened),
    ).fetchone()
    text = texts.hold_ended_notice(
        hold.workflow, hold.step, hold.detail, hold.since, now, actor, operations + ended, steps
    )
    quiet = _standing(db, hold.incident) > 0
    _insert(db, now, "recovery", hold, text, quiet=quiet, operations=operations)


def add_replacement_notice(db: Transaction, before: Hold, now: int) -> None:
    """Adds the notice that passing trouble is over, where its last hold got another cause."""
    opened = _open_notice(db, before.incident)
    if hold_cause(before.cause).is_passing and opened is not None and not _standing(db, before.incident):
        text = texts.hold_replaced_notice(before.workflow, before.step, before.detail, before.since, now)
        _insert(db, now, "recovery", before, text, quiet=False)


def add_deletion_notice(db: Transaction, hold: Hold, actor: str, now: int) -> None:
    """Adds the notice of a hold that ended because its workflow was deleted."""
    text = texts.hold_deleted_notice(
        hold.workflow, hold.step, hold.detail, hold.since, now, actor, hold.waiting
    )
    _insert(db, now, "recovery", hold, text, quiet=_standing(db, hold.incident) > 0)


def add_notice(db: Transaction, notice: WarningNotice, decision: Decision | None, now: int) -> None:
    """Adds a notice that belongs to no hold, with the decision behind it."""
    say = texts.warning_notice if notice.kind == "warning" else texts.warning_ended_notice
    text = say(notice.workflow, notice.step, notice.detail, now)
    _insert(db, now, notice.kind, notice, text, quiet=False)
    if decision is not None:
        write_decision(db, decision, now)


def has_waiting_notice(db: Transaction, connection: str, workflow: str) -> bool:
    """Checks whether the last notice about the waiting records of a workflow is that they wait too long."""
    row = db.execute(
        "SELECT kind FROM notices WHERE incident = ? ORDER BY seq DESC LIMIT 1",
        (SEPARATOR.join([WAITING_CAUSE, connection, workflow]),),
    ).fetchone()
    return row is not None and row[0] == "warning"


def add_waiting_notice(
    db: Transaction, connection: str, workflow: str, since: int | None, waiting: int, unplanned: int, now: int
) -> None:
    """Adds the notice that records of a workflow wait too long, or without `since` that it is over."""
    kind: Literal["warning", "over"] = "over" if since is None else "warning"
    text = (
        texts.waiting_over_notice(workflow, now)
        if since is None
        else texts.waiting_notice(workflow, since, now, waiting, unplanned)
    )
    about = WarningNotice(kind, connection, workflow, "", WAITING_CAUSE, workflow)
    _insert(db, now, kind, about, text, quiet=False)


def has_retirement_notice(db: Transaction, connection: str, start: str, other: str) -> bool:
    """Checks whether a connection has a notice about a retirement that begins so, and not with `other`."""
    row = db.execute(
        "SELECT 1 FROM notices WHERE cause = ? AND connection = ? AND substr(detail, 1, ?) = ? "
        "AND substr(detail, 1, ?) <> ? LIMIT 1",
        (RETIREMENT_CAUSE, connection, len(start), start, len(other), other),
    ).fetchone()
    return row is not None


def add_retirement_notice(db: Transaction, connection: str, detail: str, text: str, now: int) -> None:
    """Adds a notice about the retirement of a connection's revision, unless it has that one already."""
    about = WarningNotice("warning", connection, "", "", RETIREMENT_CAUSE, detail)
    incident = SEPARATOR.join([RETIREMENT_CAUSE, connection, detail])
    if db.execute("SELECT 1 FROM notices WHERE incident = ? LIMIT 1", (incident,)).fetchone() is None:
        _insert(db, now, "warning", about, text, quiet=False)


def add_shared_notice(
    db: Transaction, connection: str, workflow: str, kind: str, record: str, others: int, now: int
) -> None:
    """Adds the notice that identifiers turned out to be shared: the one of a kind that a record names, and others."""
    text = texts.shared_identifier_notice(connection, kind, record, others)
    about = WarningNotice("warning", connection, workflow, "", "shared_identifier", kind)
    _insert(db, now, "warning", about, text, quiet=False)


def add_reminders(db: Transaction, after_ms: Sequence[int], now: int) -> int:
    """Adds a reminder for each incident that stands and is due for one; `after_ms` are the times after its notice.

    Returns how many.
    """
    reminded = 0
    for (incident,) in db.execute("SELECT DISTINCT incident FROM holds").fetchall():
        holds = _holds_of(db, incident)
        opened = _open_notice(db, incident) or 0
        noticed, count, last = db.execute(
            "SELECT min(at), count(*) FILTER (WHERE kind = 'reminder'), max(at) FROM notices "
            "WHERE incident = ? AND seq >= ? AND kind IN ('hold', 'reminder') AND NOT quiet",
            (incident, opened),
        ).fetchone()
        since = holds[0].since if noticed is None else noticed
        if now >= reminder_due(since, since if last is None else last, count, after_ms):
            _insert(db, now, "reminder", holds[0], f"Still so: {describe_incident(holds)}", quiet=False)
            reminded += 1
    return reminded


def find_delivery(db: Transaction, address: str) -> DeliveryPosition | None:
    """Finds how far notices were delivered to an address; None where it was never seen."""
    row = db.execute(
        "SELECT seq, attempts, due, reason FROM deliveries WHERE address = ?", (address,)
    ).fetchone()
    return None if row is None else DeliveryPosition(*row)


def first_delivery(db: Transaction, address: str, connection: str | None) -> DeliveryPosition:
    """Returns the position at which a new address begins: the oldest hold that stands, else the next notice."""
    known = find_delivery(db, address)
    if known is not None:
        return known
    (seq,) = db.execute(
        "SELECT coalesce((SELECT min(n.seq) - 1 FROM notices n JOIN holds h ON h.workflow = n.workflow "
        "AND h.step = n.step AND n.at >= h.since WHERE n.kind = 'hold' AND (:connection IS NULL OR "
        "n.connection = :connection)), (SELECT max(seq) FROM notices), 0)",
        {"connection": connection},
    ).fetchone()
    save_delivery(db, address, DeliveryPosition(seq))
    return DeliveryPosition(seq)


def forget_other_deliveries(db: Transaction, addresses: Collection[str]) -> None:
    """Forgets how far notices were delivered to addresses that are not among `addresses`."""
    db.execute(
        "DELETE FROM deliveries WHERE address NOT IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(addresses)),),
    )


def save_delivery(db: Transaction, address: str, delivery: DeliveryPosition) -> None:
    """Remembers how far notices were delivered to an address; it never goes back."""
    db.execute(
        "INSERT INTO deliveries (address, seq, attempts, due, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET seq = excluded.seq, attempts = excluded.attempts, due = excluded.due, reason = excluded.reason "
        "WHERE seq <= excluded.seq",
        (address, delivery.seq, delivery.attempts, delivery.due, delivery.reason),
    )


def _join_outages(db: Transaction, hold: Hold, now: int) -> Hold:
    """Makes an outage part of the wide one that stands, or that it makes together with recent ones of other accounts.

    Of the notices of those only the oldest stays; none was delivered yet (see `Timing.outage_gather_ms`). An account
    whose outage was announced longer ago keeps its own.
    """
    if hold.cause != Cause.OUTAGE or hold.incident == WIDE_OUTAGE:
        return hold
    since = now - WIDE_OUTAGE_WINDOW_MS
    recent = db.execute(
        "SELECT n.seq, n.incident FROM notices n WHERE n.kind = 'hold' AND n.cause = ? AND NOT n.quiet AND n.at > ? "
        "AND EXISTS (SELECT 1 FROM holds h WHERE h.incident = n.incident) AND n.incident <> ? ORDER BY n.seq",
        (Cause.OUTAGE, since, WIDE_OUTAGE),
    ).fetchall()
    incidents = {incident for _, incident in recent}
    if _standing(db, hold.incident) > 1 and hold.incident not in incidents:
        return hold
    wide = _standing(db, WIDE_OUTAGE) > 0
    if wide:
        recent = [(seq, incident) for seq, incident in recent if incident == hold.incident]
    elif len(incidents | {hold.incident}) < MIN_ACCOUNTS_OF_WIDE_OUTAGE:
        return hold
    for incident in {hold.incident, *(incident for _, incident in recent)}:
        db.execute("UPDATE holds SET incident = ? WHERE incident = ?", (WIDE_OUTAGE, incident))
    for number, (seq, incident) in enumerate(recent):
        db.execute(
            "UPDATE notices SET incident = ?, quiet = quiet OR (seq = ? AND ?) WHERE incident = ? AND seq >= ?",
            (WIDE_OUTAGE, seq, wide or number > 0, incident, seq),
        )
    return replace(hold, incident=WIDE_OUTAGE)


def _open_notice(db: Transaction, incident: str) -> int | None:
    """Finds the notice with which an incident was announced last, by its `seq`."""
    (seq,) = db.execute(
        "SELECT max(seq) FROM notices WHERE incident = ? AND kind = 'hold' AND NOT quiet", (incident,)
    ).fetchone()
    return None if seq is None else int(seq)


def _holds_of(db: Transaction, incident: str) -> list[Hold]:
    """Reads the holds of an incident, oldest first, with what notices say about them."""
    rows = db.execute(
        "SELECT connection, workflow, version, step, cause, detail, since, waiting, until, stays, repeats, incident "
        "FROM holds WHERE incident = ? ORDER BY id",
        (incident,),
    )
    return [Hold(*row) for row in rows]


def _standing(db: Transaction, incident: str) -> int:
    """Counts the holds of an incident."""
    (count,) = db.execute("SELECT count(*) FROM holds WHERE incident = ?", (incident,)).fetchone()
    return int(count)


def _insert(
    db: Transaction,
    now: int,
    kind: str,
    about: Hold | WarningNotice,
    text: str,
    *,
    quiet: bool,
    operations: int = 0,
) -> None:
    incident, connections = SEPARATOR.join([about.cause, about.connection, about.detail]), [about.connection]
    if isinstance(about, Hold):
        incident = about.incident
        standing = [each.connection for each in _holds_of(db, incident)]
        if kind == "reminder":
            connections = sorted(set(standing))
        elif standing.count(about.connection) > (kind == "hold"):
            # Of each connection the first hold and the last end count, for those who hear of this one only.
            connections = []
    db.execute(
        "INSERT INTO notices (at, connection, workflow, step, kind, text, cause, detail, quiet, incident, connections, "
        "operations) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            now, about.connection, about.workflow, about.step, kind, text, about.cause, about.detail, quiet, incident,
            json.dumps(connections), operations,
        ),
    )  # fmt: skip
