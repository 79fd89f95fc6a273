"""Numbers and conditions that the journal's tables and its queries share."""

WAITING, HELD, FAILED = 0, 1, 2
"""The states of an operation."""

PLANNED, PLAN_FAILED, REPLAN = 0, 1, 2
"""The states of a run."""

RARE_STATUS = "(status = 'failed' OR status = 'skipped' OR status = 'discarded')"
UNCOMMON_STATUS = "status NOT IN ('written', 'unconfirmed')"
DECISION_KIND = "operation IS NULL"
"""Conditions of partial indexes: a query must repeat them word for word to use the index.

They are evaluated for every entry that is written, so they are the ones that SQLite decides quickest.
"""
