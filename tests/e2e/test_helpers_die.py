"""The processes that help with a backlog, killed and told to end: nothing is lost, nothing doubled, people are told."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from askel_tui.store.sqlite.writing import process_writer
from askel_tui.sync.planning import backlog_workers
from tests.support.bad_days import WELCOME
from tests.support.homes import prepare, read_end
from tests.support.patience import PATIENCE_S
from tests.support.processes import children
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, kill
from tests.support.workbench import points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MANY_RECORDS = 6_000
WRITER, PLANNER = process_writer.WORKER_MODULE, backlog_workers.WORKER_MODULE


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process(arguments=("--no-limits", "--job-time", "0.3")) as one:
        yield one


@pytest.fixture
def shell(sandbox: SandboxProcess, tmp_path: Path) -> Shell:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], (points(number) for number in range(MANY_RECORDS)))
    return shell


def _helpers(daemon: subprocess.Popen[str]) -> dict[str, int]:
    """The processes that help, by what they run; waits until both are there."""
    while True:
        assert daemon.poll() is None, daemon.communicate()
        found = {_module(pid): pid for pid in children(daemon.pid)}
        if found.keys() >= {WRITER, PLANNER}:
            return found


def _module(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return next((word for word in words if word.startswith("askel_tui.")), "")


def _assert_whole(shell: Shell, sandbox: SandboxProcess) -> None:
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    ended = read_end(shell)
    ended.assert_once()
    assert ended.holds == {}
    assert len([entry for entry in ended.entries if entry.operation]) == 3 * MANY_RECORDS
    state = sandbox.state()
    assert sorted(event["properties"]["Points"] for event in state["events"]) == [
        5 + n for n in range(MANY_RECORDS)
    ]
    [welcome] = [each for each in state["lists"] if each["name"] == "Welcome Flow"]
    assert len([email for email in welcome["emails"] if email.startswith("t")]) == MANY_RECORDS


def test_the_daemon_ends_with_a_sentence_when_its_writer_dies(shell: Shell, sandbox: SandboxProcess) -> None:
    daemon = shell.start("daemon", ASKEL_BUDGETS="off")
    try:
        os.kill(_helpers(daemon)[WRITER], signal.SIGKILL)
        _, err = daemon.communicate(timeout=PATIENCE_S)
    finally:
        kill(daemon)
    assert daemon.returncode == 1
    assert "can't be written any more: the process that writes it ended" in err
    assert "Traceback" not in err
    _assert_whole(shell, sandbox)


def test_the_daemon_goes_on_without_its_planner(shell: Shell, sandbox: SandboxProcess) -> None:
    daemon = shell.start("daemon", "--until-idle", ASKEL_BUDGETS="off")
    try:
        os.kill(_helpers(daemon)[PLANNER], signal.SIGKILL)
        _, err = daemon.communicate(timeout=PATIENCE_S)
    finally:
        kill(daemon)
    assert daemon.returncode == 0, err
    # Its death is noticed while it starts, or once it plans.
    assert "process ended" in err
    _assert_whole(shell, sandbox)


def test_after_a_kill_the_next_daemon_starts_at_once(shell: Shell, sandbox: SandboxProcess) -> None:
    daemon = shell.start("daemon", ASKEL_BUDGETS="off")
    try:
        helpers = _helpers(daemon)
    finally:
        kill(daemon)
    _assert_whole(shell, sandbox)
    for pid in helpers.values():
        assert not Path(f"/proc/{pid}").exists()


def test_all_processes_can_be_stopped_at_once(shell: Shell, sandbox: SandboxProcess) -> None:
    """As a service manager does it."""
    daemon = shell.start("daemon", ASKEL_BUDGETS="off")
    try:
        for pid in (*_helpers(daemon).values(), daemon.pid):
            os.kill(pid, signal.SIGTERM)
        _, err = daemon.communicate(timeout=PATIENCE_S)
    finally:
        kill(daemon)
    assert (daemon.returncode, "Traceback" in err) == (0, False), err
    assert read_end(shell).requests_in_doubt == 0
    _assert_whole(shell, sandbox)
