"""The questions before a dry run: which workflow, how many records, or which file. Only inside `start_work`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.picker import Picker
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.store.state.documents import WorkflowDoc
    from askel_tui.tui.screens.base_screen import AskelScreen

DEFAULT_RECORD_COUNT = 30
"""The number of newest records that are tried where no number was chosen."""

MAX_RECORD_COUNT = 2_000
"""The largest number of records that are tried: each costs reads of the account."""


async def ask_workflow(
    screen: AskelScreen, documents: Sequence[WorkflowDoc], current: str | None
) -> str | None:
    """Asks for a workflow, and returns its name; None where none was chosen."""
    choices = [Choice(each.workflow, each.workflow, f"version {each.version}") for each in documents]
    return await screen.ask(Picker("Which workflow?", choices, preselected=current))


def record_count(screen: AskelScreen) -> int:
    """Returns the number of newest records that are tried, as it was chosen last."""
    kept = screen.session.recall("dry_run.last", DEFAULT_RECORD_COUNT)
    return kept if isinstance(kept, int) and 1 <= kept <= MAX_RECORD_COUNT else DEFAULT_RECORD_COUNT


async def ask_record_count(screen: AskelScreen) -> bool:
    """Asks for the number of records and keeps it in the session; returns False where none was given."""
    limits = f"1 to {MAX_RECORD_COUNT:,}"
    typed = await screen.ask(
        TextPrompt(
            "How many of the newest records?", f"{limits} that match.", value=str(record_count(screen))
        )
    )
    if typed is None:
        return False
    if not (typed.isdecimal() and 1 <= int(typed) <= MAX_RECORD_COUNT):
        screen.toasts.show(f"{typed} is no number from {limits}.", severity="warning")
        return False
    screen.session.remember("dry_run.last", int(typed))
    return True


async def ask_records_file(screen: AskelScreen) -> Path | None:
    """Asks for a file of records, and keeps its name in the session; None where none was given."""
    detail = "JSONL, or CSV by its ending. Nothing of it is kept. n goes back to the newest records."
    kept = screen.session.recall("dry_run.file", "")
    typed = await screen.ask(TextPrompt("Records of which file?", detail, value=kept))
    if typed is None:
        return None
    screen.session.remember("dry_run.file", typed)
    return await asyncio.to_thread(Path(typed).expanduser)
