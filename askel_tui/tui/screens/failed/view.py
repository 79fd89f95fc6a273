"""What failed, grouped by reason, and what an export of it holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.text.times import format_timestamp

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import Failure

MAX_REASON_CHARS = 2_000
"""Characters of a reason that tell it from others."""

_VARYING_PARTS = (
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`|‘[^’]*’|“[^”]*”"), "…"),
    (re.compile(r"[^\s@,;:()]+@[^\s@,;:()]+"), "…"),
    (re.compile(r"\b[0-9A-Za-z_-]*\d[0-9A-Za-z_-]{5,}\b"), "…"),
    (re.compile(r"\d+"), "N"),
)
"""What differs from record to record: quoted values, addresses, ids, numbers."""

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


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one step (None: of planning) for one reason, oldest first."""

    workflow: str
    step: str | None
    reason: str
    failures: tuple[Failure, ...]

    @property
    def key(self) -> str:
        """What names it among all groups."""
        return f"{self.workflow}\0{self.step or ''}\0{self.reason}"

    @property
    def reason_text(self) -> str:
        """The reason as people are told it: in full where it is the same of all."""
        whole = {failure_reason(each) for each in self.failures}
        return whole.pop() if len(whole) == 1 else self.reason

    @property
    def step_label(self) -> str:
        """The workflow and the step."""
        return f"{self.workflow} › {self.step}" if self.step else self.workflow


def failure_reason(failure: Failure) -> str:
    """The whole reason: every problem with its step and field, or what was said."""
    told = [
        ": ".join(
            filter(None, (", ".join(filter(None, (row.get("step"), row.get("field")))), row.get("message")))
        )
        for row in failure.problems
    ]
    return "; ".join(filter(None, told)) or failure.reason


def generalize_reason(reason: str) -> str:
    """The reason without what differs from record to record."""
    shown = reason[:MAX_REASON_CHARS]
    for pattern, sign in _VARYING_PARTS:
        shown = pattern.sub(sign, shown)
    return shown


def search_text(failure: Failure) -> str:
    """The text that the filter looks at."""
    who = failure.operation.operation.profile.label() if failure.operation else ""
    reason = failure_reason(failure)[:MAX_REASON_CHARS]
    return f"{failure.workflow} {failure.step or ''} {failure.record} {who} {reason}"


def group_failures(failures: Sequence[Failure]) -> list[FailureGroup]:
    """The failures by workflow, step and reason, the largest group first."""
    found: dict[tuple[str, str, str], list[Failure]] = {}
    for each in failures:
        found.setdefault(
            (each.workflow, each.step or "", generalize_reason(failure_reason(each))), []
        ).append(each)
    made = [
        FailureGroup(workflow, step or None, reason, tuple(of))
        for (workflow, step, reason), of in found.items()
    ]
    return sorted(made, key=lambda group: (-len(group.failures), group.key))


def export_row(failure: Failure) -> dict[str, Any]:
    """A failure as an export has it, by `EXPORT_COLUMNS`."""
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
