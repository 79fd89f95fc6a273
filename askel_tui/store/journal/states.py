"""Numbers and conditions that the journal's tables and its queries share."""

WAITING, HELD, FAILED = 0, 1, 2
"""The states of an operation."""

PLANNED, PLAN_FAILED, REPLAN = 0, 1, 2
"""The states of a run."""

MAY_BE_WRITTEN, UNMATCHED, OTHER_IDENTITY, RETURNED, RETURNED_IN_PART, CUT, REVIVED = 1, 2, 3, 4, 5, 6, 7
"""The marks of an operation, 0 without one.

`MAY_BE_WRITTEN`: a request may have written it, so it stays as it was planned. `UNMATCHED`, `OTHER_IDENTITY`: a newer
version refuses its record, or names another profile, and a person decides. `RETURNED`: it was planned anew in place of
a held one; `RETURNED_IN_PART`: of one that was `CUT`, since later records had written a part of it.
`REVIVED`: it failed or was discarded, and is about to be planned anew.
"""

SEQ_GAP = 1_024
"""The distance between the `seq` of operations: those of a later plan of their record get numbers in between."""

RARE_STATUS = "(status = 'failed' OR status = 'skipped' OR status = 'discarded')"
UNCOMMON_STATUS = "status NOT IN ('written', 'unconfirmed')"
DECISION_KIND = "operation IS NULL"
"""Conditions of partial indexes: a query must repeat them word for word to use the index.

They are evaluated for every entry that is written, so they are the ones that SQLite decides quickest.
"""

NOTHING_TO_REMOVE = (
    "a.status = 'skipped' AND a.kind IN ('remove_from_list', 'unsubscribe') AND a.target IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM audit g INDEXED BY audit_record WHERE g.record = a.record "
    "AND g.connection = a.connection AND g.workflow = a.workflow AND g.kind = 'require_segment' "
    "AND g.status = 'skipped')"
)
"""The condition for an entry of a removal that had nothing to remove; what a gate stops is not meant."""
