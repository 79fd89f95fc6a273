"""`askel daemon --listen` as a process of its own, connected to a sandbox that is one too."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.askel import Inside
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, kill
from tests.support.workbench import NAME


@dataclass
class Listening:
    """A home, its sandbox, and the daemon that listens."""

    shell: Inside
    """Runs commands in this process: not for use inside an event loop's steps, which `processes` is for."""
    sandbox: SandboxProcess
    token: str
    process: subprocess.Popen[str]
    url: str

    @property
    def processes(self) -> Shell:
        """Runs commands in processes of their own."""
        return Shell(self.shell.home, self.shell.url, self.shell.key)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON) of a request with the token. Raises `OSError` where nobody listens."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Waits for the end of a process that was told to stop; gives the exit code."""
        code = self.process.wait(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def start(self, *options: str) -> None:
        """Starts the daemon and waits until it listens."""
        self.process = self.shell.start("daemon", "--listen", "127.0.0.1:0", *options)
        self.url = listens(self.process)


def listens(process: subprocess.Popen[str]) -> str:
    """The address that a daemon says it listens on."""
    assert process.stderr is not None
    said = []
    while line := process.stderr.readline():
        said.append(line)
        if "listens on http" in line:
            _heard(process)
            return line[line.index("http://") :].split('"')[0].strip()
    raise AssertionError("".join(said))


def _heard(process: subprocess.Popen[str]) -> None:
    """Reads what the daemon goes on to say: a full pipe would stop it."""
    assert process.stderr is not None
    threading.Thread(target=process.stderr.read, daemon=True).start()


@contextmanager
def listening(home: Path, *options: str, **environment: str) -> Iterator[Listening]:
    """A daemon that listens on a free port, with a token that may do everything; killed at the end."""
    with sandbox_process() as sandbox:
        shell = Inside(home, sandbox.url, sandbox.key)
        shell.connect(NAME)
        token = shell.run("token", "create", "tester", "--scope", "admin").stdout.strip()
        process = shell.start("daemon", "--listen", "127.0.0.1:0", *options, **environment)
        one = Listening(shell, sandbox, token, process, listens(process))
        try:
            yield one
        finally:
            kill(one.process)
