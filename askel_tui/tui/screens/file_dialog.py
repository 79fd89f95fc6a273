"""Asks for a file of the user's choosing and writes text into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.text.sanitizing import sanitize
from askel_tui.tui.text.exports import write_private_file
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.tui.screens.base_screen import AskelScreen


async def export_to_file(
    screen: AskelScreen,
    render: Callable[[str], str],
    *,
    title: str,
    suffixes: Sequence[str],
    contents: str,
    session_key: str,
    default: str,
) -> Path | None:
    """Asks for a file, whose name is kept in the session, and writes what `render` makes for its suffix.

    Returns the file, or None where nothing was written. Only inside `start_work`. Raises `OSError`.
    """
    endings = f"Its name ends in {', '.join(suffixes[:-1])} or {suffixes[-1]}."
    kept = screen.session.recall(session_key, default)
    name = await screen.ask(TextPrompt(title, f"{endings} {contents}", value=kept))
    if name is None:
        return None
    suffix = Path(name).suffix.lower()
    if suffix not in suffixes:
        refused = endings.replace("ends", "has to end")
        screen.toasts.show(refused, title="Not exported", severity="warning")
        return None
    screen.session.remember(session_key, name)
    return await write_or_replace(screen, name, await asyncio.to_thread(render, suffix))


async def write_or_replace(screen: AskelScreen, name: str, text: str) -> Path | None:
    """Writes a file that only its owner can read; asks before it replaces one, and gives None where that is refused.

    Only inside `start_work`. Raises `OSError`.
    """
    try:
        file = await asyncio.to_thread(write_private_file, Path(name), text)
    except FileExistsError:
        if not await screen.confirm(f"Replace {sanitize(name)}?", "A file of that name exists."):
            return None
        file = await asyncio.to_thread(write_private_file, Path(name), text, replace=True)
    return await asyncio.to_thread(file.resolve)
