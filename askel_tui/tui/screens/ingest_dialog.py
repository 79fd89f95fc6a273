"""Taking records in from a file, from any screen that is about a connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.text.numbers import pluralize
from askel_tui.tui.shell.progress import Progress
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.services.ingest import IngestResult
    from askel_tui.tui.shell.base_screen import AskelScreen

PROMPT_DETAIL = (
    "JSONL, or CSV by its ending. They are kept for {connection}; "
    "an active workflow sends those that it matches."
)


async def ingest_file(screen: AskelScreen) -> bool:
    """Asks for a file and takes its records in; True if any of them is new. Raises `OSError`, `ReadOnly`."""
    connection, askel = screen.connection, screen.askel
    if connection is None:
        askel.show_toast("Records are taken in for a connection: press 2 to make one.", severity="warning")
        return False
    asked = TextPrompt(
        "Take in the records of which file?",
        PROMPT_DETAIL.format(connection=connection),
        value=askel.recall("records.file", ""),
    )
    typed = await askel.push_screen_wait(asked)
    if typed is None:
        return False
    askel.remember("records.file", typed)
    file, progress = await asyncio.to_thread(Path(typed).expanduser), Progress()
    taken = await screen.with_progress(
        f"Taking in {file.name}",
        screen.backend.ingest(connection, file, progress=lambda so_far: progress.report(so_far.lines_read)),
        progress,
    )
    # A toast lies over the lower rows of a small screen: only what is to be read carefully stays longer.
    careful = bool(taken.refused or taken.conflicting_ids)
    askel.show_toast(
        describe_intake(taken),
        severity="warning" if taken.refused else "information",
        timeout=12 if careful else None,
    )
    return bool(taken.accepted)


def describe_intake(taken: IngestResult) -> str:
    """What became of a file, in sentences."""
    known = f", {taken.duplicates:,} known already" if taken.duplicates else ""
    lines = [f"{pluralize(taken.accepted, 'new record')}{known}."]
    if taken.conflicting_ids:
        lines.append(f"{taken.conflicting_ids[0]} came before with another body: the first one holds.")
    if taken.refused:
        first = taken.refusals[0]
        lines.append(f"{pluralize(taken.refused, 'line')} refused, line {first.line}: {first.reason}.")
        lines.append(f"Refused lines are kept in {taken.refused_file}.")
    return "\n".join(lines)
