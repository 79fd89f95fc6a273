"""The program as a person at a shell has it: a home of its own, real processes, a sandbox to talk to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.environment import vault_key
from tests.support.patience import PATIENCE_S

ASKEL = [sys.executable, "-m", "askel_tui"]


@dataclass(frozen=True)
class Shell:
    """Runs `askel` in a home. `key` is given to commands that read one."""

    home: Path
    url: str
    key: str = ""

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of the processes: nothing of the developer's own Askel leaks in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ASKEL_")}
        ours = {
            "ASKEL_HOME": str(self.home),
            **vault_key(),
            "ASKEL_KLAVIYO_URL": self.url,
        }
        return {**kept, **ours, "NO_COLOR": "1", **more}

    def run(
        self,
        *words: str,
        stdin: str | None = None,
        code: int | None = 0,
        timeout: float = PATIENCE_S,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; fails unless it exits with `code` (None: any)."""
        done = subprocess.run(
            [*ASKEL, *words],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            env=self.environment(**environment),
            timeout=timeout,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"askel {' '.join(words)} exited {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def json(self, *words: str, code: int | None = 0) -> Any:
        """The JSON document of a command."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines of a command."""
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command in a process group of its own, to be ended by `end` or `kill`."""
        return subprocess.Popen(
            [*ASKEL, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
            start_new_session=True,
        )

    def connect(self, name: str = "maple-ember", *options: str) -> None:
        """Connects the key."""
        self.run("connect", name, "--key-stdin", *options, stdin=self.key + "\n")


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9` of a process and all it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)


def end(process: subprocess.Popen[str], timeout: float = PATIENCE_S) -> tuple[int, str, str]:
    """SIGTERM, then (exit code, stdout, stderr)."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
