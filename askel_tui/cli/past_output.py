"""What records of the past would start, on the command line, and the question about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from askel_tui.cli.output import format_cell, put_message
from askel_tui.cli.questions import choose
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.history.past_records import FlowsAnswer, PastPreview

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

FIRE_FLOWS, HISTORY = "--fire-flows", "--history"
CHOICES = {
    FIRE_FLOWS: "lets live flows start and subscribes people as new records do",
    HISTORY: "writes them as history, so that no live flow starts",
}

MAX_SHOWN_ASIDE = 10


def flow_options(command: F) -> F:
    """Adds the options that say what records of the past do to live flows."""
    for flag, answer in ((HISTORY, "history"), (FIRE_FLOWS, "fire")):
        command = click.option(
            flag, "flows", flag_value=answer, help=f"Records of the past: {CHOICES[flag]}."
        )(command)
    return command


async def answer_past(
    do: Callable[..., Awaitable[T]], flows: FlowsAnswer | None
) -> tuple[T, FlowsAnswer | None]:
    """Does what takes `flows`, and may start some with records of the past; asks where that has to be said first.

    Returns what it returned, and the answer. Raises `CommandError` as `choose` does.
    """
    from askel_tui.services.history.past_records import PastRecords

    try:
        return await do(flows=flows), flows
    except PastRecords as question:
        put_past(question.preview)
        flag = choose(f"{question.preview.describe()}.", CHOICES)
        flows = "history" if flag == HISTORY else "fire"
        return await do(flows=flows), flows


def put_past(preview: PastPreview) -> None:
    """Says what records of the past would do, and what `--history` does about it."""
    for each in preview.flows:
        people = pluralize(each.people, "person", "people")
        put_message(f"live flow {format_cell(each.flow)} would start for up to {people}")
    if preview.subscribed:
        put_message(f"{pluralize(preview.subscribed, 'person', 'people')} would be subscribed")
    put_aside(preview)


def put_aside(preview: PastPreview) -> None:
    """Says what `--history` marks and leaves aside."""
    if not preview.marks_events:
        put_message("the connection's revision can't mark events as history")
    for number, (sentence, count) in enumerate(preview.left_aside.items()):
        if number == MAX_SHOWN_ASIDE:
            put_message(f"and {len(preview.left_aside) - number:,} more")
            break
        put_message(f"--history: {format_cell(sentence)} ({pluralize(count, 'record')})")
