"""The question what becomes of what is unsent under older versions, with what re-planning would send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual.binding import Binding
from textual.content import Content

from askel_tui.core.planning.replanning import Consents
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import services
from askel_tui.tui.text.changes import StyledText, change_lines
from askel_tui.tui.widgets.answer_question import AnswerQuestion
from askel_tui.tui.widgets.help import Help

if TYPE_CHECKING:
    from askel_tui.services.replanning import OpenConsent, OperationReplan, ReplannedRecord, ReplanPreview
    from askel_tui.tui.screens.base_screen import AskelScreen

VALUE_CELLS = 48

OUTCOME_WORDS = {
    "replanned": "planned anew",
    "added": "new in this version",
    "kept": "stays as it was planned",
    "closed": "closed, not done by this version",
    "held": "held for a decision",
}


CONSENT_KEYS = {"close_unmatched": "u", "accept_identity": "i", "new_consent_steps": "c"}
"""The keys that give and take back consents, by the field of `Consents`."""


class UnsentAnswer(NamedTuple):
    """What becomes of what is unsent: `unsent` is None where nothing is."""

    unsent: str | None
    """`replan` or `keep`."""
    consents: Consents


async def ask_about_unsent(
    screen: AskelScreen, workflow: str, version: int, *, step: str | None = None
) -> UnsentAnswer | None:
    """Shows what re-planning under a version would do and asks; None where nothing is to be done.

    With a `step` it is about that step alone, and keeping the plans is no answer. Each consent that is given or taken
    back shows anew what comes of it. Only inside `start_work`.
    """
    consents = Consents()
    offered: dict[str, OpenConsent] = {}
    while True:
        reading = screen.backend.call(services.preview_replan, workflow, version, consents, step=step)
        preview = await screen.with_progress("Reading what is unsent", reading)
        if not preview.totals.records:
            return UnsentAnswer(None, consents)
        # What a consent is about is no longer open once it is given.
        offered.update({each.name: each for each in preview.open_consents()})
        answer = await screen.ask(UnsentQuestion(preview, consents, offered, may_keep=step is None))
        if answer is None:
            return None
        if answer == "replan" or answer == "keep":
            return UnsentAnswer(answer, consents)
        consents = replace(consents, **{answer: not getattr(consents, answer)})


class UnsentQuestion(AnswerQuestion):
    """Asks what becomes of what is unsent: `replan`, `keep`, or the name of a consent that is given or taken back."""

    help = Help(
        "What is unsent",
        "p plans it anew under the new version, k keeps what was planned. u, i and c agree to what is left out else, "
        "and show what comes of it. Esc changes nothing. Arrows scroll.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "answer('replan')", "Plan anew", id="unsent.replan"),
        Binding("k", "answer('keep')", "Keep", id="unsent.keep"),
        Binding("u", "answer('close_unmatched')", "Close refused", id="unsent.close"),
        Binding("i", "answer('accept_identity')", "Other profile", id="unsent.identity"),
        Binding("c", "answer('new_consent_steps')", "New consent", id="unsent.consent"),
        Binding("escape", "answer", "Back", id="unsent.back"),
    ]
    ANSWERS = (("replan", "Plan anew (p)", "warning"), ("keep", "Keep the plans (k)", "default"))

    def __init__(
        self,
        preview: ReplanPreview,
        consents: Consents,
        offered: Mapping[str, OpenConsent],
        *,
        may_keep: bool = True,
    ) -> None:
        self._offered = offered
        self._may_keep = may_keep
        records = pluralize(preview.totals.records, "record")
        lines = []
        for name, each in offered.items():
            mark = "[x]" if getattr(consents, name) else "[ ]"
            lines.append(f"{mark} {CONSENT_KEYS[name]}  {each.what}: {each.does}")
        super().__init__(
            f"{preview.workflow}: {records} with something unsent under older versions",
            "\n".join(totals_lines(preview)),
            Content.assemble(*(part for each in preview.records for part in record_lines(each))),
            "\n".join(lines),
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers the consents that something waits for, and keeping the plans where that is an answer."""
        answer = parameters[0] if action == "answer" and parameters else None
        if answer == "keep":
            return self._may_keep
        return answer not in CONSENT_KEYS or answer in self._offered


def totals_lines(preview: ReplanPreview) -> list[str]:
    """Lists what becomes of the operations, by outcome and step."""
    totals = preview.totals
    lines = []
    for outcome, words in OUTCOME_WORDS.items():
        by_step = getattr(totals, outcome)
        if by_step:
            listed = ", ".join(f"{count:,} {sanitize(step)}" for step, count in by_step.items())
            lines.append(f"{words}: {listed}")
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
