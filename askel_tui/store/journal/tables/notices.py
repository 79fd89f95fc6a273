"""Notices to the team, and how far they were delivered.

A cause is announced once: the notice of a hold is quiet where another hold has the same connection, cause and detail,
and so is that of a release which leaves such a hold.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Literal

from askel_tui.core import notices as texts
from askel_tui.core.notices import AffectedStep
from askel_tui.store.journal.notice_rows import DeliveryPosition, Notice, WarningNotice
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.store.journal.tables.audit.chain import write_decision
from askel_tui.store.journal.transaction import Transaction

WAITING_CAUSE = "waiting_long"
"""The cause of notices about records that wait too long; their detail is the workflow."""

_NAMES = ("seq", "at", "connection", "workflow", "step", "kind", "text", "cause", "detail", "quiet")
_SAME = "connection = ? AND cause = ? AND detail = ?"


def read_notices(db: Transaction, after: int = 0) -> list[Notice]:
    """Reads the notices with a higher `seq` than `after`, oldest first."""
    rows = db.execute(f"SELECT {', '.join(_NAMES)} FROM notices WHERE seq > ? ORDER BY seq", (after,))
    return [Notice(**{**dict(zip(_NAMES, row, strict=True)), "quiet": bool(row[-1])}) for row in rows]


def add_hold_notice(db: Transaction, hold: Hold, waiting: int, now: int) -> None:
    """Adds the notice of a hold that was just placed."""
    affected = [AffectedStep(hold.workflow, hold.step, waiting)]
    text = texts.hold_notice(hold.connection, hold.cause, hold.detail, hold.since, affected, stays=hold.stays)
    _insert(db, now, "hold", hold, text, quiet=_standing(db, hold) > 1)


def add_release_notice(db: Transaction, hold: Hold, actor: str, operations: int, now: int) -> None:
    """Adds the notice of a hold that was just ended."""
    text = texts.hold_ended_notice(hold.workflow, hold.step, hold.detail, hold.since, now, actor, operations)
    _insert(db, now, "recovery", hold, text, quiet=_standing(db, hold) > 0)


def add_deletion_notice(db: Transaction, hold: Hold, actor: str, now: int) -> None:
    """Adds the notice of a hold that ended because its workflow was deleted."""
    text = texts.hold_deleted_notice(
        hold.workflow, hold.step, hold.detail, hold.since, now, actor, hold.waiting
    )
    _insert(db, now, "recovery", hold, text, quiet=_standing(db, hold) > 0)


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
        f"SELECT kind FROM notices WHERE {_SAME} ORDER BY seq DESC LIMIT 1",
        (connection, WAITING_CAUSE, workflow),
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


def add_shared_notice(
    db: Transaction, connection: str, workflow: str, kind: str, record: str, others: int, now: int
) -> None:
    """Adds the notice that identifiers turned out to be shared: the one of a kind that a record names, and others."""
    text = texts.shared_identifier_notice(connection, kind, record, others)
    about = WarningNotice("warning", connection, workflow, "", "shared_identifier", kind)
    _insert(db, now, "warning", about, text, quiet=False)


def add_reminder(db: Transaction, holds: Sequence[Hold], before: int, now: int) -> bool:
    """Adds a reminder of holds with one cause, where the last notice of it is older than `before`."""
    first = holds[0]
    same = (first.connection, first.cause, first.detail)
    (noticed_at,) = db.execute(
        f"SELECT max(at) FROM notices WHERE {_SAME} AND kind IN ('hold', 'reminder') AND NOT quiet", same
    ).fetchone()
    if (first.since if noticed_at is None else noticed_at) >= before:
        return False
    affected = [AffectedStep(each.workflow, each.step, each.waiting) for each in holds]
    text = texts.hold_notice(*same, first.since, affected, stays=any(each.stays for each in holds))
    _insert(db, now, "reminder", first, f"Still so: {text}", quiet=False)
    return True


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


def _standing(db: Transaction, hold: Hold) -> int:
    """Counts the holds that have this one's connection, cause and detail."""
    same = (hold.connection, hold.cause, hold.detail)
    (count,) = db.execute(f"SELECT count(*) FROM holds WHERE {_SAME}", same).fetchone()
    return int(count)


def _insert(
    db: Transaction, now: int, kind: str, about: Hold | WarningNotice, text: str, *, quiet: bool
) -> None:
    db.execute(
        "INSERT INTO notices (at, connection, workflow, step, kind, text, cause, detail, quiet) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now, about.connection, about.workflow, about.step, kind, text, about.cause, about.detail, quiet),
    )
