"""Builds the runs of records under a workflow, ready to be stored. Light to import, for the planning process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from askel_tui.core.operations import Encoder
from askel_tui.core.planning.history import History, plan_history
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.problems import Problem
from askel_tui.store.journal.rows import PlannedRun, StoredRecord, encode_run


def build_runs(
    records: Iterable[StoredRecord], applied: AppliedWorkflow, since: str | None, history: str | None = None
) -> list[PlannedRun]:
    """Builds the runs of records, in their order; none for records before `since` (RFC 3339) or of other events.

    `history` is the encoded rule by which records of the past are planned.
    """
    rule = History.decode(history) if history else None
    floor = datetime.fromisoformat(since) if since else None
    encoder = Encoder()
    runs = []
    for stored in records:
        if floor is not None and datetime.fromisoformat(stored.record.time) < floor:
            continue
        found = plan(stored.record, applied)
        if found is not None:
            if rule is not None and rule.covers(stored.seq):
                found = plan_history(found, rule.starts, stored.record.time, applied.revision)
            problems = [problem_row(problem) for problem in found.problems]
            warnings = [(each.kind or "", str(each)) for each in found.warnings]
            runs.append(
                encode_run(stored.seq, stored.record.id, found.operations, problems, encoder, warnings)
            )
    return runs


def problem_row(problem: Problem) -> dict[str, str]:
    """Converts a problem to the form in which the journal and the JSON of the command line hold it."""
    row = {"step": problem.step or "", "field": problem.field or "", "message": problem.message}
    row |= {"kind": problem.kind or "", "suggestion": problem.suggestion or ""}
    return {name: value for name, value in row.items() if value or name == "message"}
