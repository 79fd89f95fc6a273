"""What a backfill would do, how far it is, and what it did, on the command line."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from askel_tui.cli.output import format_cell, put_message, put_table
from askel_tui.cli.past_output import put_past
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.history.backfill_status import BackfillStatus
    from askel_tui.services.history.backfills import BackfillPreview
    from askel_tui.store.journal.backfill_rows import BackfillProgress

RATE_SPAN_S = 30.0
"""The time over which the rate of a backfill is measured, in seconds."""

LINE_INTERVAL_S = 15.0
"""The interval between lines of progress where there is no terminal, in seconds."""

TITLES = ("call", "calls", "seconds at least")


def put_preview(preview: BackfillPreview, *, with_flows: bool = True) -> None:
    """Writes what a backfill would do: records, calls and time, and with `with_flows` what starts."""
    past = preview.past
    people = pluralize(past.people, "person", "people")
    put_message(
        f"{format_cell(preview.source)}: {pluralize(past.records, 'record')} about {people} for {past.workflow}"
        + (f", the oldest of {past.oldest}" if past.oldest else "")
    )
    for number, what in (
        (preview.already_ran, "ran already"),
        (preview.not_matching, "not for this workflow"),
        (past.failing, "would fail"),
        (preview.refused, "refused as no record"),
    ):
        if number:
            put_message(f"{number:,} {what}")
    calls = ", ".join(f"{each.calls:,} {each.call}" for each in preview.calls)
    if calls:
        put_message(f"calls: {calls}; {format_span(preview.seconds)} at least, by the account's budgets")
    if with_flows:
        put_past(past)


def put_calls(preview: BackfillPreview) -> None:
    """Writes the calls that a backfill takes."""
    put_table(TITLES, [(each.call, each.calls, each.seconds) for each in preview.calls])


def put_report(found: BackfillStatus) -> None:
    """Writes what a backfill did, by what became of its writes."""
    put_table(
        ("write", "result", "number"), [(kind, status, count) for kind, status, count in found.outcomes]
    )
    put_message(describe(found))


def describe(found: BackfillStatus) -> str:
    """Describes a backfill and how far it is in a sentence."""
    done = found.progress
    parts = [f"{done.done:,} of {pluralize(done.records, 'record')} done"]
    for number, what in ((done.waiting, "wait"), (done.held, "held"), (done.failed, "failed")):
        if number:
            parts.append(f"{number:,} {what}")
    how = "as history" if found.as_history else "starting flows as new records do"
    what = f"backfill {found.id} of {found.workflow} from {format_cell(found.source)}"
    return f"{what} is {found.state}, {how}: {', '.join(parts)}"


def format_span(seconds: float) -> str:
    """Formats a span of time for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


class ProgressLine:
    """How far a backfill is, with its rate and the time that is left: a line on a terminal, else one now and then."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._drawn = False
        self._last_line = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque()

    def show(self, done: BackfillProgress) -> None:
        """Shows how far it is."""
        now, ended = time.monotonic(), done.done + done.failed + done.held
        self._seen.append((now, ended))
        while now - self._seen[0][0] > RATE_SPAN_S and len(self._seen) > 2:
            self._seen.popleft()
        text = f"{ended:,} of {done.records:,} records{self._rate(done.records - ended)}"
        if self._on:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._drawn = True
        elif now - self._last_line >= LINE_INTERVAL_S:
            self._last_line = now
            put_message(text)

    def _rate(self, left: int) -> str:
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        if now <= began or last <= first:
            return ""
        rate = (last - first) / (now - began)
        return f", {rate:,.0f} a second, about {format_span(left / rate)} left"

    def end(self) -> None:
        """Erases the line of a terminal."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
