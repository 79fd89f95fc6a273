"""A sandbox for tests: in this process, or as a process of its own.

Use from a test module or a conftest: `from tests.support.sandbox import sandbox`  (a fixture).
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from askel_tui.sandbox.http.server import RunningSandbox, serve
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

_SETTINGS: dict[str, Any] = {"limits": False, "job_time": 0.0}


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """Maple & Ember on a free port: `.url`, `.key`, `.account`, `.world`; without limits, jobs done at once."""
    async with running() as one:
        yield one


@asynccontextmanager
async def running(seed: str = "maple-ember", **settings: Any) -> AsyncIterator[RunningSandbox]:
    """A sandbox in this process; `settings` are its switches (limits are off and jobs instant without)."""
    one = await serve(seed=seed, settings={**_SETTINGS, **settings})
    try:
        yield one
    finally:
        await one.aclose()


@dataclass(frozen=True)
class SandboxProcess:
    """A sandbox in a process of its own. The calls below block: not for use inside an event loop's steps."""

    process: subprocess.Popen[str]
    url: str
    key: str

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call to the control surface, `path` without `/sandbox/`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sandbox/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def state(self) -> dict[str, Any]:
        """All that the first account holds."""
        found: dict[str, Any] = self.control("GET", "state")
        return found


@contextmanager
def sandbox_process(
    *, seed: str = "maple-ember", state: Path | None = None, arguments: tuple[str, ...] = ("--no-limits",)
) -> Iterator[SandboxProcess]:
    """`python -m askel_tui.sandbox` on a free port, without limits; ended with SIGTERM."""
    command = [sys.executable, "-m", "askel_tui.sandbox", "--port", "0", "--seed", seed, *arguments]
    if state is not None:
        command += ["--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()  # "Sandbox on URL  key KEY"
        if len(words) != 5:
            raise RuntimeError(f"The sandbox did not start: {process.communicate(timeout=PATIENCE_S)[1]}")
        yield SandboxProcess(process, words[2], words[4])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
