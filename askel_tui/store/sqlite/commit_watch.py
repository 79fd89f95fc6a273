"""Noticing commits: those of this process at once, those of others by polling every 50 ms."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from askel_tui.store.sqlite.connection import connect, data_version, explain_error

POLL_INTERVAL_S = 0.05
"""Interval at which the file is checked for commits of another process, in seconds."""


class CommitWatch:
    """Counts the changes of a journal's file, whichever process makes them."""

    def __init__(self, path: Path, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        """Opens the watch; where no other process writes, `poll_interval_s` may be long."""
        self._path = path
        self._poll_interval_s = poll_interval_s
        self._connection = connect(path, read_only=True)
        self._version = self._data_version()
        self._changed = asyncio.Event()
        self.changes = 0
        """The number of changes that were noticed."""
        self.closed = False

    def notify(self) -> None:
        """Notes that this process has committed something."""
        if not self.closed:
            self._poll()
            self._changed.set()

    async def wait(self, seen: int, timeout: float) -> bool:
        """Waits until `changes` is over `seen`: True; False after `timeout` seconds or when the journal is closed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while not self.closed:
            # No commit can slip in between clearing and polling: a notification sets the event again.
            self._changed.clear()
            self._poll()
            if self.changes > seen:
                return True
            left = end - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(min(left, self._poll_interval_s)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return False

    def close(self) -> None:
        """Ends all waiting."""
        self.closed = True
        self._changed.set()
        self._connection.close()

    def _poll(self) -> None:
        version = self._data_version()
        if version != self._version:
            self._version = version
            self.changes += 1

    def _data_version(self) -> int:
        try:
            return data_version(self._connection)
        except sqlite3.Error as error:
            raise explain_error(error, self._path) from error
