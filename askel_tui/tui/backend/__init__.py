"""The backend: the only place where screens meet the instance.

Its coroutines run in a thread of their own (`loop_thread.py`), imports included, so a screen just awaits them;
cancelling the await cancels the work. Methods raise what the functions behind them raise; `told` makes a sentence of
that. Methods marked `@writes` raise `ReadOnly` in a read-only console before anything happens, and what they would
write with is guarded as well (`read_only.py`).

To add what a screen needs: an `async def` in one of these files that calls `self._do(lambda instance: …)`, with
`@writes` if it changes anything anywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from askel_tui.tui.backend.account import Account
from askel_tui.tui.backend.base import WRITES, in_its_own_thread
from askel_tui.tui.backend.connections import Connections
from askel_tui.tui.backend.running import Running
from askel_tui.tui.backend.settings import Settings
from askel_tui.tui.backend.workflows import Workflows

__all__ = ["WRITES", "Backend", "Environment", "describe_error", "open_backend"]

Environment = Literal["sandbox", "klaviyo"]


@in_its_own_thread
class Backend(Connections, Account, Workflows, Running, Settings):
    """One home, opened in the background. Methods wait until it is open."""

    @property
    def address(self) -> str:
        """The base address of Klaviyo's API as this process calls it."""
        return os.environ.get("ASKEL_KLAVIYO_URL") or "https://a.klaviyo.com"

    @property
    def environment(self) -> Environment:
        """Whether writes would reach this machine's sandbox or the real Klaviyo."""
        host = urlsplit(self.address).hostname or ""
        return "sandbox" if host in ("localhost", "::1") or host.startswith("127.") else "klaviyo"

    async def home(self) -> Path:
        """The directory of all state."""
        return await self._read(lambda instance: instance.home)

    async def now(self) -> int:
        """The instance's clock, milliseconds since 1970."""
        return await self._read(lambda instance: instance.clock())


def describe_error(error: BaseException) -> str:
    """An error as a sentence for people, inert."""
    from askel_tui.text.sanitizing import sanitize

    text = str(error).strip() or type(error).__name__
    text = text if text.endswith((".", "!", "?", "…")) else text + "."
    return sanitize(text[:1].upper() + text[1:])


@contextlib.asynccontextmanager
async def open_backend(home: Path | None = None, *, read_only: bool = False) -> AsyncIterator[Backend]:
    """A backend for tests and scripts: open inside the block."""
    backend = Backend(home, read_only=read_only)
    await backend.open(lambda: None)
    try:
        yield backend
    finally:
        await backend.close()
