"""Starts and stops the daemon that the console runs as a process of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from textual.app import App

from askel_tui.tui.backend import Backend
from askel_tui.tui.shell.toasts import Toasts
from askel_tui.tui.shell.workers import run_in_background


class DaemonControl:
    """The switch of the daemon; toasts report the result."""

    def __init__(
        self, app: App[Any], backend: Backend, toasts: Toasts, update_header: Callable[[], Awaitable[None]]
    ) -> None:
        self._app, self._backend, self._toasts = app, backend, toasts
        self._update_header = update_header

    def start(self) -> None:
        """Starts a daemon in the background."""
        self._switch(on=True)

    def stop(self) -> None:
        """Stops the daemon that was started here, in the background."""
        self._switch(on=False)

    def toggle(self, *, runs: bool | None) -> None:
        """Stops the daemon that was started here, else starts one unless one `runs` that was started elsewhere."""
        if self._backend.started_daemon:
            self.stop()
        elif runs:
            self._toasts.show("A daemon that was started elsewhere works on this home: it is ended there.")
        else:
            self.start()

    def _switch(self, *, on: bool) -> None:
        run_in_background(self._app, partial(self._run_switch, on=on), "daemon", exclusive=True)

    async def _run_switch(self, *, on: bool) -> None:
        try:
            if on:
                self._toasts.show("Starting a daemon…")
                await self._backend.start_daemon()
                self._toasts.show("The daemon runs: what waits is being sent.")
            else:
                self._toasts.show("The daemon settles what is under way, then ends…")
                await self._backend.stop_daemon()
                self._toasts.show("The daemon has ended.")
            await self._update_header()
        except Exception as error:
            self._toasts.show_error(error)
