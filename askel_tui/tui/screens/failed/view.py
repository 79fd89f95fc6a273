"""Failures grouped by reason, and their exports. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.text.json_text import encode_json, format_json
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_timestamp
from askel_tui.tui.text.exports import to_csv
from askel_tui.tui.widgets.detail_pane import DetailLine
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import Failure, StoredRecord

MAX_REASON_CHARS = 2_000
"""The number of characters of a reason that are compared and searched."""

GROUP_COLUMNS = (Column("why", 24, 3), Column("where", 16, 2), Column("times", 5, align_right=True))

FAILURE_COLUMNS = (
    Column("", 1),
    Column("record", 14, 2),
    Column("profile", 16, 2),
    Column("since", 6, align_right=True),
)

MAX_REASONS_NAMED = 5
"""The number of reasons that a question names."""

EXPORT_SUFFIXES = (".csv", ".json")

EXPORT_COLUMNS = (
    "id",
    "at",
    "connection",
    "workflow",
    "version",
    "step",
    "record",
    "reason",
    "operation",
    "call",
    "body",
)

_VARYING_PARTS = (
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`|‘[^’]*’|“[^”]*”"), "…"),
    (re.compile(r"[^\s@,;:()]+@[^\s@,;:()]+"), "…"),
    (re.compile(r"\b[0-9A-Za-z_-]*\d[0-9A-Za-z_-]{5,}\b"), "…"),
    (re.compile(r"\d+"), "N"),
)
"""The parts of a reason that differ from record to record: quoted values, addresses, ids, numbers."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one step (None: of planning) for one reason, oldest first."""

    workflow: str
    step: str | None
    reason: str
    failures: tuple[Failure, ...]

    @property
    def key(self) -> str:
        """The group's name, unique among all groups."""
        return f"{self.workflow}\0{self.step or ''}\0{self.reason}"

    @property
    def reason_text(self) -> str:
        """The reason as people read it: in full where all failures have the same one."""
        reasons = {failure_reason(each) for each in self.failures}
        return reasons.pop() if len(reasons) == 1 else self.reason

    @property
    def step_label(self) -> str:
        """The workflow and the step."""
        return f"{self.workflow} › {self.step}" if self.step else self.workflow


def failure_reason(failure: Failure) -> str:
    """Composes the whole reason: every problem with its step and field, or the failure's own words."""
    problems = []
    for problem in failure.problems:
        where = ", ".join(filter(None, (problem.get("step"), problem.get("field"))))
        problems.append(": ".join(filter(None, (where, problem.get("message")))))
    return "; ".join(filter(None, problems)) or failure.reason


def generalize_reason(reason: str) -> str:
    """Removes from a reason the parts that differ from record to record."""
    general = reason[:MAX_REASON_CHARS]
    for pattern, sign in _VARYING_PARTS:
        general = pattern.sub(sign, general)
    return general


def profile_label(failure: Failure) -> str | None:
    """Returns the identifiers of the profile that was to be written; None where planning failed."""
    return failure.operation.operation.profile.label() if failure.operation else None


def search_text(failure: Failure) -> str:
    """Returns the text of a failure that the filter searches."""
    reason = failure_reason(failure)[:MAX_REASON_CHARS]
    return f"{failure.workflow} {failure.step or ''} {failure.record} {profile_label(failure) or ''} {reason}"


def group_failures(failures: Sequence[Failure]) -> list[FailureGroup]:
    """Groups the failures by workflow, step and reason, the largest group first."""
    found: dict[tuple[str, str | None, str], list[Failure]] = {}
    for each in failures:
        key = each.workflow, each.step or None, generalize_reason(failure_reason(each))
        found.setdefault(key, []).append(each)
    groups = [FailureGroup(*key, tuple(members)) for key, members in found.items()]
    return sorted(groups, key=lambda group: (-len(group.failures), group.key))


def reasons_text(failures: Sequence[Failure]) -> str:
    """Lists the most frequent reasons of failures, a line each."""
    groups = group_failures(failures)
    lines = [
        f"{len(group.failures):,} × {sanitize(group.reason_text, 100)} ({sanitize(group.step_label, 60)})"
        for group in groups[:MAX_REASONS_NAMED]
    ]
    if len(groups) > MAX_REASONS_NAMED:
        lines.append(f"and {pluralize(len(groups) - MAX_REASONS_NAMED, 'other reason')}")
    return "\n".join(lines)


def detail_lines(failure: Failure) -> list[DetailLine]:
    """Lists the facts about a failure, for the detail pane."""
    profile = profile_label(failure)
    lines: list[DetailLine] = [
        ("why", failure_reason(failure), "bold"),
        ("step", failure.step or "planning: nothing was written"),
        *([("profile", profile)] if profile else []),
        ("record", failure.record),
        ("workflow", f"{failure.workflow} v{failure.version}"),
        ("at", format_timestamp(failure.at, milliseconds=True)),
        ("id", str(failure.id)),
    ]
    return lines


def detail_text(failure: Failure, record: StoredRecord | None) -> str:
    """Formats the body that would be sent, and the record where it was read, as JSON."""
    parts = []
    if failure.operation is not None:
        operation = failure.operation.operation
        parts.append(f"Would be sent: {operation.call}\n{format_json(operation.body)}")
    if record is not None:
        parts.append(f"The record\n{format_json(record.record.as_dict())}")
    return "\n\n".join(parts)


def export_text(failures: Sequence[Failure], suffix: str) -> str:
    """Formats the failures as `.csv` or `.json`."""
    rows = [_export_row(each) for each in failures]
    if suffix == ".csv":
        return to_csv(EXPORT_COLUMNS, [list(row.values()) for row in rows])
    return encode_json({"failed": rows}, indent=2) + "\n"


def _export_row(failure: Failure) -> dict[str, Any]:
    stored = failure.operation
    values = (
        failure.id,
        format_timestamp(failure.at, milliseconds=True),
        failure.connection,
        failure.workflow,
        failure.version,
        failure.step,
        failure.record,
        failure_reason(failure),
        stored.operation.id if stored else None,
        stored.operation.call if stored else None,
        dict(stored.operation.body) if stored else None,
    )
    return dict(zip(EXPORT_COLUMNS, values, strict=True))
