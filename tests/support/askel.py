"""`askel` run in this process, through the same entry point as the installed command."""

from __future__ import annotations

import asyncio
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from askel_tui.cli.main import cli
from tests.support.environment import vault_key
from tests.support.shell import Shell


@dataclass(frozen=True)
class Askel:
    """Runs commands; fails the test where one ends with another exit code than `code` (None: any)."""

    home: Path
    url: str
    key: str

    def __call__(
        self, *words: str, code: int | None = 0, stdin: str | bytes = "", **environment: str | None
    ) -> Result:
        given: dict[str, str | None] = {
            "ASKEL_HOME": str(self.home),
            **vault_key(),
            "ASKEL_KLAVIYO_URL": self.url,
        }
        if "ASKEL_VAULT_KEY" in environment:
            given["ASKEL_VAULT_KEY_FILE"] = None
        result = _invoke(words, stdin, {**given, **environment})
        assert code is None or result.exit_code == code, (
            words,
            result.exit_code,
            result.stdout,
            result.stderr,
        )
        assert "Traceback" not in result.output
        return result

    def json(self, *words: str, code: int = 0, **environment: str | None) -> Any:
        return json.loads(self(*words, "--json", code=code, stdin="", **environment).stdout)

    def lines(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*words, "--json").stdout.splitlines()]

    def connect(
        self, name: str = "maple-ember", *options: str, key: str | None = None, code: int = 0
    ) -> Result:
        return self("connect", name, "--key-stdin", *options, stdin=f"{key or self.key}\n", code=code)


def _invoke(words: tuple[str, ...], stdin: str | bytes, environment: dict[str, str | None]) -> Result:
    """Runs a command; in a thread where this one runs an event loop already, since commands run their own."""
    invoke = partial(CliRunner().invoke, cli, words, input=stdin, env=environment, prog_name="askel")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return invoke()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(invoke).result()


@dataclass(frozen=True)
class Inside(Shell):
    """A `Shell` whose commands run in this process: the same words and codes at a tenth of the cost."""

    def run(
        self,
        *words: str,
        stdin: str | None = None,
        code: int | None = 0,
        timeout: float = 50,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; fails unless it exits with `code` (None: any)."""
        done = Askel(self.home, self.url, self.key)(
            *words, code=code, stdin=stdin or "", NO_COLOR="1", **environment
        )
        return subprocess.CompletedProcess([*words], done.exit_code, done.stdout, done.stderr)
