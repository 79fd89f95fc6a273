"""The dialog that takes in the records of a file: a command of the app, for the connection of any screen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.text.cells import truncate
from askel_tui.text.json_text import encode_json
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.backend import services
from askel_tui.tui.screens.base_screen import AskelScreen
from askel_tui.tui.shell.progress import Progress
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.services.ingest import IngestResult
    from askel_tui.services.record_files import FileOptions

MAX_PREVIEW_CELLS = 160
"""The number of cells of a line of the preview."""

PROMPT_DETAIL = (
    "JSONL, JSON or CSV, also gzipped. They are kept for {connection}; "
    "an active workflow sends those that it matches."
)


async def ingest_file(screen: AskelScreen) -> None:
    """Asks for a file, ingests its records and reports the result. Raises `OSError`, `ReadOnly`."""
    connection, session, toasts = screen.connection, screen.session, screen.toasts
    if connection is None:
        toasts.show("Records are taken in for a connection: press 2 to make one.", severity="warning")
        return
    asked = TextPrompt(
        "Take in the records of which file?",
        PROMPT_DETAIL.format(connection=connection),
        value=session.recall("records.file", ""),
    )
    typed = await screen.ask(asked)
    if typed is None:
        return
    session.remember("records.file", typed)
    file, progress = await asyncio.to_thread(Path(typed).expanduser), Progress()
    options = await confirm_preview(screen, file)
    if options is None:
        return
    taken = await screen.with_progress(
        f"Taking in {file.name}",
        screen.backend.call(
            services.ingest_file,
            connection,
            file,
            options,
            progress=lambda so_far: progress.report(so_far.lines_read),
        ),
        progress,
    )
    # A toast lies over the lower rows of a small screen: only what is to be read carefully stays longer.
    careful = bool(taken.refused or taken.conflicting_ids)
    toasts.show(
        describe_intake(taken),
        severity="warning" if taken.refused else "information",
        timeout=12 if careful else None,
    )
    if taken.accepted:
        screen.records_ingested()


async def confirm_preview(screen: AskelScreen, file: Path) -> FileOptions | None:
    """Shows what a file was recognized as and its first records, and asks; returns how it is read, or None.

    A file without an event column needs a name for what its rows are. Raises `OSError` and `UnreadableFile`.
    """
    from askel_tui.core.records.files import Columns
    from askel_tui.core.records.record import RefusedLine
    from askel_tui.services.record_files import FileOptions

    options = FileOptions()
    found = await screen.backend.call(services.preview_file, file, options)
    if found.first and all(
        isinstance(each, RefusedLine) and "`event`" in each.reason for each in found.first
    ):
        detail = (
            f"{sanitize(file.name)} has no column or field `event`. It is one word, such as order_placed."
        )
        event = await screen.ask(TextPrompt("What is each of its records?", detail))
        if not event:
            return None
        options = FileOptions(columns=Columns(event))
        found = await screen.backend.call(services.preview_file, file, options)
    lines = [f"{found.description}. It begins:"]
    for each in found.first:
        if isinstance(each, RefusedLine):
            lines.append(f"line {each.line} is refused: {each.reason}")
        else:
            lines.append(f"{each.event} {each.id}: {encode_json(each.data)}")
    shown = "\n".join(truncate(line, MAX_PREVIEW_CELLS) for line in lines)
    return options if await screen.confirm(f"Take in {sanitize(file.name)}?", shown) else None


def describe_intake(taken: IngestResult) -> str:
    """Describes the result of ingesting a file, as sentences."""
    known = f", {taken.duplicates:,} known already" if taken.duplicates else ""
    lines = [f"{pluralize(taken.accepted, 'new record')}{known}."]
    if taken.conflicting_ids:
        lines.append(f"{taken.conflicting_ids[0]} came before with another body: the first one holds.")
    if taken.refused:
        first = taken.refusals[0]
        lines.append(f"{pluralize(taken.refused, 'line')} refused, line {first.line}: {first.reason}.")
        lines.append(f"Refused lines are kept in {taken.refused_file}.")
    return "\n".join(lines)
