"""`python -m askel_tui.sandbox`: a Klaviyo account on this machine until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from askel_tui.sandbox.http.request_log import report_requests
from askel_tui.sandbox.http.server import PortTaken, serve
from askel_tui.sandbox.state.persistence import StateUnreadable
from askel_tui.sandbox.state.seed import SEEDS


def main(arguments: list[str] | None = None) -> int:
    """Runs the sandbox until SIGINT or SIGTERM. Returns exit code 1 where the port or the state file can't be used."""
    parser = argparse.ArgumentParser(prog="askel sandbox", description="A Klaviyo account on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8787, help="port, 0 for a free one (default %(default)s)")
    parser.add_argument("--no-limits", action="store_true", help="never throttle")
    parser.add_argument("--no-log", action="store_true", help="keep no request log")
    parser.add_argument("--state", type=Path, help="file to load the state from and keep it in")
    parser.add_argument("--seed", choices=SEEDS, default=SEEDS[0], help="what a new account holds")
    parser.add_argument("--retired", choices=("fall_forward", "serve", "gone"), help="retired revisions")
    parser.add_argument("--job-time", type=float, help="seconds that a bulk import job takes")
    given = parser.parse_args(arguments)
    settings: dict[str, Any] = {}
    if given.no_limits:
        settings["limits"] = False
    if given.no_log:
        settings["log"] = False
    if given.retired:
        settings["retired"] = given.retired
    if given.job_time is not None:
        settings["job_time"] = given.job_time
    try:
        asyncio.run(run(given.host, given.port, given.seed, given.state, settings))
    except (PortTaken, StateUnreadable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def run(
    host: str,
    port: int,
    seed: str,
    state: Path | None,
    settings: dict[str, Any],
    say: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM. Prints the address and the key.

    `say` is called with a line about the requests that came in, once a second at most.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    sandbox = await serve(host=host, port=port, seed=seed, state=state, settings=settings)
    sys.stdout.write(f"Sandbox on {sandbox.url}  key {sandbox.key}\n")
    sys.stdout.flush()
    telling = asyncio.create_task(report_requests(sandbox.world, say)) if say is not None else None
    await stop.wait()
    if telling is not None:
        telling.cancel()
    await sandbox.aclose()


if __name__ == "__main__":
    sys.exit(main())
