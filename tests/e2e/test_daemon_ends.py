"""How the daemon ends: SIGTERM under load leaves nothing in doubt, and a second daemon is told that one is there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from askel_tui.store.locks import owner_pid
from tests.support.bad_days import WELCOME
from tests.support.homes import prepare, read_end
from tests.support.revisions import OLDEST_AND_NEWEST
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, end, kill
from tests.support.workbench import points

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process() as one:
        yield one


def _wait(process: subprocess.Popen[str], true: Callable[[], bool]) -> None:
    """Waits until something is so while the process runs."""
    while not true():
        try:
            code = process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"it ended with {code}: {process.communicate()[1]}")


@pytest.mark.slow
@pytest.mark.parametrize("revision", OLDEST_AND_NEWEST)
def test_sigterm_under_load_ends_soon_and_leaves_nothing_in_doubt(
    sandbox: SandboxProcess, tmp_path: Path, revision: str
) -> None:
    """The budget is kept, so most requests wait for their place: those are given up, the others are answered."""
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], (points(number) for number in range(900)), revision=revision)
    before = sandbox.control("GET", "requests?limit=0")["last"]
    daemon = shell.start("daemon")
    try:
        _wait(daemon, lambda: sandbox.control("GET", "requests?limit=0")["last"] > before + 3)
        code, out, err = end(daemon, timeout=20)
    finally:
        kill(daemon)
    assert (code, out) == (0, ""), err
    assert "Traceback" not in err
    left = read_end(shell)
    assert left.requests_in_doubt == 0
    left.assert_once()
    assert len([entry for entry in left.entries if entry.operation]) < 2_700


def test_sigterm_ends_a_daemon_whose_account_does_not_answer(sandbox: SandboxProcess, tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], [points(1)])
    before = sandbox.control("GET", "requests?limit=0")["last"]
    sandbox.control("POST", "faults", {"endpoint": "*", "status": 503})
    daemon = shell.start("daemon")
    try:
        _wait(daemon, lambda: sandbox.control("GET", "requests?limit=0")["last"] > before + 2)
        code, _, err = end(daemon, timeout=40)
    finally:
        kill(daemon)
    assert code == 0, err
    assert read_end(shell).requests_in_doubt == 0


@pytest.mark.slow
def test_a_second_daemon_is_refused_with_a_sentence(sandbox: SandboxProcess, tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME])
    first = shell.start("daemon")
    try:
        _wait(first, lambda: owner_pid(shell.home) == first.pid)
        second = shell.run("daemon", "--until-idle", code=1)
        assert second.stdout == ""
        [sentence] = second.stderr.strip().splitlines()
        assert str(first.pid) in sentence
        assert end(first)[0] == 0
    finally:
        kill(first)
    shell.run("daemon", "--until-idle")
