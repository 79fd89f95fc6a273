"""Backfills: records of the past that a workflow takes beside those that come in, and which records are history.

A backfill's records are listed by their `seq` when it begins, and it keeps its own position among them. Records that
came in with a backfill's file are its workflow's alone: no workflow plans them by itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from askel_tui.store.journal import statements
from askel_tui.store.journal.transaction import Transaction


def record_histories(db: Transaction, workflow: str, record_seqs: Sequence[int]) -> dict[int, str]:
    """Finds which of the records are history for a workflow: the encoded rule by `seq`."""
    row = db.execute("SELECT history FROM workflows WHERE workflow = ?", (workflow,)).fetchone()
    rule = row[0] if row is not None else None
    until = json.loads(rule)["until"] if rule is not None else 0
    found = {seq: rule for seq in record_seqs if rule is not None and (until is None or seq <= until)}
    listed = db.execute(
        "SELECT b.seq, f.history FROM backfills f JOIN backfill_records b ON b.backfill = f.id "
        "WHERE f.workflow = ? AND f.history IS NOT NULL AND b.seq IN (SELECT value FROM json_each(?)) ORDER BY f.id",
        (workflow, statements.json_list(record_seqs)),
    )
    found.update(listed.fetchall())
    return found
