"""Starts and stops a daemon as a process of its own, so that it and the console don't slow each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

START_TIMEOUT_S = 15.0
"""Time that a daemon may take until it owns the home, in seconds."""

STOP_TIMEOUT_S = 45.0
"""Time that a daemon may take to end, in seconds: requests under way are settled first."""


class DaemonFailed(Exception):
    """Raised for a daemon that did not start; the message holds the last line of its output."""


async def start_daemon(home: Path) -> asyncio.subprocess.Process:
    """Starts a daemon and waits until it works on the home. Raises `DaemonFailed`."""
    from askel_tui.store.locks import owner_pid

    log = home / "daemon.log"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "askel_tui",
            "daemon",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "ASKEL_HOME": str(home)},
            # Not in our group: ctrl+c in the terminal is for the console alone.
            start_new_session=True,
        )
    finally:
        os.close(output)
    end = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while asyncio.get_running_loop().time() < end:
        if process.returncode is not None:
            break
        if owner_pid(home) is not None:
            return process
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.1)
    await stop_daemon(process)
    output_lines = log.read_text("utf-8", "replace").strip().splitlines()
    raise DaemonFailed(f"the daemon did not start: {output_lines[-1] if output_lines else 'it said nothing'}")


async def stop_daemon(process: asyncio.subprocess.Process) -> None:
    """Asks a daemon to end and waits until it has; one that hangs is killed."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
