"""The export of a dry run into a file of one's choosing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.screens.dry_run import view
from askel_tui.tui.text.exports import write_private_file
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.services.dry_run_result import DryRun
    from askel_tui.tui.shell.base_screen import AskelScreen

EXPORT_SUFFIXES = (".csv", ".json", ".md")


async def export_dry_run(screen: AskelScreen, run: DryRun) -> None:
    """Asks for a file, and writes a run into it."""
    asked = TextPrompt(
        f"Export the dry run of {pluralize(len(run.records), 'record')} to which file?",
        "Its name ends in .csv, .json or .md. It holds personal data.",
        value=screen.askel.recall("dry_run.export", "dry-run.csv"),
    )
    name = await screen.askel.push_screen_wait(asked)
    if name is None:
        return
    file = Path(name)
    kind = file.suffix.lower()
    if kind not in EXPORT_SUFFIXES:
        told = "Its name has to end in .csv, .json or .md."
        screen.askel.show_toast(told, title="Not exported", severity="warning")
        return
    screen.askel.remember("dry_run.export", name)
    text = await asyncio.to_thread(view.export_text, run, kind)
    try:
        place = await asyncio.to_thread(write_private_file, file, text)
    except FileExistsError:
        if not await screen.confirm(f"Replace {sanitize(name)}?", "A file of that name exists."):
            return
        place = await asyncio.to_thread(write_private_file, file, text, replace=True)
    screen.askel.show_toast(f"The dry run is written to {place.resolve()}.", title="Exported")
