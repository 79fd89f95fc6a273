"""The question what becomes of what is unsent under older versions, with what re-planning would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.dry_run.details import change_lines
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal, question_content

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


class UnsentQuestion(Modal[Literal["replan", "keep"] | None]):
    """Asks whether what is unsent is planned anew; None for Esc, which changes nothing."""

    DEFAULT_CSS = """
    UnsentQuestion { align: center middle; }
    UnsentQuestion > VerticalScroll {
        width: 92; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $warning; padding: 0 1;
    }
    UnsentQuestion Horizontal { height: 1; margin-top: 1; }
    UnsentQuestion Button { margin-right: 2; }
    """
    help = Help(
        "What is unsent",
        "p plans it anew under the new version, k keeps what was planned. Esc changes nothing. Arrows scroll.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "answer('replan')", "Plan anew", id="unsent.replan"),
        Binding("k", "answer('keep')", "Keep", id="unsent.keep"),
        Binding("escape", "answer", "Back", id="unsent.back"),
    ]

    def __init__(self, preview: ReplanPreview) -> None:
        super().__init__()
        self._preview = preview

    def compose(self) -> ComposeResult:
        """Composes the question, the totals by step, the records, and the answers."""
        preview = self._preview
        records = pluralize(preview.totals.records, "record")
        question = f"{preview.workflow}: {records} with something unsent under older versions"
        with VerticalScroll():
            yield Static(question_content(question, "\n".join(totals_lines(preview)), gap="\n\n"))
            with Horizontal():
                yield Button("Back (Esc)", id="back", variant="primary", compact=True)
                yield Button("Plan anew (p)", id="replan", variant="warning", compact=True)
                yield Button("Keep the plans (k)", id="keep", compact=True)
            yield Static(Content.assemble(*(part for each in preview.records for part in record_lines(each))))

    def on_mount(self) -> None:
        """Puts the focus where Enter does no harm."""
        self.query_one("#back").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answers by a button."""
        self.action_answer("" if event.button.id == "back" else event.button.id or "")

    def action_answer(self, answer: str = "") -> None:
        """Answers; nothing is no answer."""
        self.dismiss("replan" if answer == "replan" else "keep" if answer == "keep" else None)


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
