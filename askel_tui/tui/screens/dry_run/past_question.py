"""The question whether records of the past may start live flows and subscribe people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.widgets.answer_question import AnswerQuestion
from askel_tui.tui.widgets.help import Help

if TYPE_CHECKING:
    from askel_tui.services.history.past_records import PastPreview


class PastQuestion(AnswerQuestion):
    """Asks what records of the past do: `history` or `fire`; None for Esc, which changes nothing."""

    help = Help(
        "Records of the past",
        "h writes them as history: no live flow starts. f lets flows start as new records do. Esc changes nothing.",
    )
    BINDINGS: ClassVar[list[Any]] = [
        Binding("h", "answer('history')", "History", id="past.history"),
        Binding("f", "answer('fire')", "Fire flows", id="past.fire"),
        Binding("escape", "answer", "Back", id="past.back"),
    ]
    ANSWERS = (("history", "Write as history (h)", "default"), ("fire", "Fire flows (f)", "warning"))

    def __init__(self, preview: PastPreview) -> None:
        records = pluralize(preview.records, "record")
        super().__init__(
            f"{sanitize(preview.workflow)}: {records} of the past would reach people",
            "\n".join(past_lines(preview)),
        )


def past_lines(preview: PastPreview) -> list[str]:
    """Lists the flows that would start, the people who would be subscribed, and what history leaves aside."""
    lines = [
        f"{sanitize(each.flow)} starts for up to {pluralize(each.people, 'person', 'people')}"
        for each in preview.flows
    ]
    if preview.subscribed:
        lines.append(f"{pluralize(preview.subscribed, 'person is', 'people are')} subscribed")
    lines += [
        f"as history: {sanitize(sentence)} ({pluralize(count, 'record')})"
        for sentence, count in preview.left_aside.items()
    ]
    return lines
