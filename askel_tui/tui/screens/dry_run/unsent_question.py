"""The question what becomes of what is unsent under older versions, with what re-planning would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.content import Content

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.dry_run.details import change_lines
from askel_tui.tui.widgets.answer_question import AnswerQuestion
from askel_tui.tui.widgets.help import Help

if TYPE_CHECKING:
    from askel_tui.services.replanning import OperationReplan, ReplannedRecord, ReplanPreview
    from askel_tui.tui.screens.dry_run.view import StyledText

VALUE_CELLS = 48

OUTCOME_WORDS = {
    "replanned": "planned anew",
    "added": "new in this version",
    "kept": "stays as it was planned",
    "closed": "closed, the version no longer does it",
    "held": "held for a decision",
}


class UnsentQuestion(AnswerQuestion):
    """Asks what becomes of what is unsent: `replan` or `keep`; None for Esc, which changes nothing."""

    help = Help(
        "What is unsent",
        "p plans it anew under the new version, k keeps what was planned. Esc changes nothing. Arrows scroll.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "answer('replan')", "Plan anew", id="unsent.replan"),
        Binding("k", "answer('keep')", "Keep", id="unsent.keep"),
        Binding("escape", "answer", "Back", id="unsent.back"),
    ]
    ANSWERS = (("replan", "Plan anew (p)", "warning"), ("keep", "Keep the plans (k)", "default"))

    def __init__(self, preview: ReplanPreview) -> None:
        records = pluralize(preview.totals.records, "record")
        super().__init__(
            f"{preview.workflow}: {records} with something unsent under older versions",
            "\n".join(totals_lines(preview)),
            Content.assemble(*(part for each in preview.records for part in record_lines(each))),
        )


def totals_lines(preview: ReplanPreview) -> list[str]:
    """Lists what becomes of the operations, by outcome and step."""
    totals = preview.totals
    lines = []
    for outcome, words in OUTCOME_WORDS.items():
        by_step = getattr(totals, outcome)
        if by_step:
            listed = ", ".join(f"{count:,} {sanitize(step)}" for step, count in by_step.items())
            lines.append(f"{words}: {listed}")
    if totals.unmatched:
        lines.append(f"{pluralize(totals.unmatched, 'record')} refused by version {preview.version}")
    if totals.other_identity:
        lines.append(f"{pluralize(totals.other_identity, 'record')} with another profile")
    if totals.unmatched or totals.other_identity or totals.consent_left_out:
        lines.append(
            f"`askel hold replan {sanitize(preview.workflow)} --help` says how to decide about the rest"
        )
    return lines


def record_lines(record: ReplannedRecord) -> list[StyledText]:
    """Composes what becomes of a record's operations."""
    parts: list[StyledText] = [(f"\n\n{sanitize(record.record)}", "bold $accent")]
    if record.reason:
        parts.append((f"\n✗ {sanitize(record.reason)}", "$warning"))
    for each in record.operations:
        parts += _operation_lines(each)
    return parts


def _operation_lines(operation: OperationReplan) -> list[StyledText]:
    parts: list[StyledText] = [
        (f"\n{sanitize(operation.step)} ", "bold"),
        (OUTCOME_WORDS[operation.outcome], "$primary"),
    ]
    for field, change in operation.changes().items():
        if change["before"] != change["after"]:
            parts += [("\n", ""), *change_lines(field, change, VALUE_CELLS)]
            parts[-1] = (parts[-1][0].rstrip("\n"), parts[-1][1])
    return parts
