"""Bad days of the machine and its network, met by the real daemon: nobody answers, no name is known, a full disk."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_days import WELCOME
from tests.support.homes import prepare, read_end, take
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import ASKEL, Shell, end, kill
from tests.support.workbench import NAME, points

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

RECORDS = 40
NAMELESS = textwrap.dedent(
    """
    import os, socket, sys
    from pathlib import Path

    known, gone = socket.getaddrinfo, Path(sys.argv.pop(1))

    def asked(host, *told, **more):
        if gone.exists():
            gone.write_text(gone.read_text() + ".")
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *told, **more)

    socket.getaddrinfo = asked
    from askel_tui.cli.main import cli
    cli.main(args=sys.argv[1:], prog_name="askel")
    """
)
"""`askel` on a machine whose resolver knows no name while a file is there; each question adds a dot to the file."""


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process() as one:
        yield one


def _records(first: int = 0) -> list[dict[str, Any]]:
    return [points(number) for number in range(first, first + RECORDS)]


def _assert_all(shell: Shell, state: dict[str, Any], count: int) -> None:
    ended = read_end(shell)
    ended.assert_once()
    assert ended.holds == {}
    assert len([entry for entry in ended.entries if entry.operation]) == 3 * count
    found = [event["properties"]["Points"] for event in state["events"]]
    assert sorted(found) == [5 + number for number in range(count)]
    [welcome] = [each for each in state["lists"] if each["name"] == "Welcome Flow"]
    assert len([email for email in welcome["emails"] if email.startswith("t")]) == count


def _nothing_listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) != 0


def test_nobody_answers_and_then_somebody_does(tmp_path: Path) -> None:
    """Klaviyo is not reachable while records come in; once it is, all of them arrive, without a restart."""
    kept = tmp_path / "account.json"
    with sandbox_process(state=kept) as sandbox:
        shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
        prepare(shell, [WELCOME], _records())
        shell.run("daemon", "--until-idle")
    port = sandbox.url.rpartition(":")[2]
    assert _nothing_listens(sandbox.url)
    take(shell, _records(RECORDS))
    daemon = shell.start("daemon")
    try:
        log = daemon.stderr
        assert log is not None
        assert any("cannot be reached" in line for line in iter(log.readline, ""))
        take(shell, _records(2 * RECORDS))
        with sandbox_process(state=kept, arguments=("--no-limits", "--port", port)) as again:
            assert again.url == sandbox.url
            _until(daemon, lambda: len(again.state()["events"]) == 3 * RECORDS)
            code, _, err = end(daemon)
            assert (code, "Traceback" in err) == (0, False), err
            shell.run("daemon", "--until-idle")
            _assert_all(shell, again.state(), 3 * RECORDS)
    finally:
        kill(daemon)


def test_no_name_is_known_and_then_it_is(sandbox: SandboxProcess, tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], _records())
    gone = tmp_path / "gone"
    gone.touch()
    named = Shell(shell.home, sandbox.url.replace("127.0.0.1", "localhost"), sandbox.key)
    daemon = subprocess.Popen(
        [sys.executable, "-c", NAMELESS, str(gone), "daemon"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=named.environment(),
        start_new_session=True,
    )
    try:
        _until(daemon, lambda: gone.read_text().count(".") > 3)
        assert sandbox.state()["events"] == []
        gone.unlink()
        _until(daemon, lambda: len(sandbox.state()["events"]) == RECORDS)
        code, _, err = end(daemon)
        assert (code, "Traceback" in err) == (0, False), err
    finally:
        kill(daemon)
    named.run("daemon", "--until-idle")
    _assert_all(shell, sandbox.state(), RECORDS)


def test_a_full_disk_ends_the_daemon_with_a_sentence_and_loses_nothing(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """The limit of a process's files stands for the disk: first while records come in, then while they are sent."""
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [WELCOME], _records())
    file = tmp_path / "more.jsonl"
    many = [points(number) for number in range(RECORDS, 3_000)]
    file.write_text("".join(json.dumps(record) + "\n" for record in many))

    room = max(each.stat().st_size for each in shell.home.glob("journal.db*"))
    ingest = _with_files_up_to(room + 300_000, shell, "ingest", str(file), "--connection", NAME)
    _assert_message(ingest)
    daemon = _with_files_up_to(room + 350_000, shell, "daemon", "--until-idle")
    _assert_message(daemon)

    shell.run("ingest", str(file), "--connection", NAME)
    shell.run("daemon", "--until-idle", ASKEL_BUDGETS="off")
    _assert_all(shell, sandbox.state(), 3_000)


def _with_files_up_to(size: int, shell: Shell, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command whose files can't grow beyond a size in bytes."""
    limited = 'ulimit -f "$1"; shift; exec "$@"'
    blocks = str(size // 1024)
    return subprocess.run(
        ["bash", "-c", limited, "bash", blocks, *ASKEL, *words],
        capture_output=True,
        text=True,
        env=shell.environment(ASKEL_BUDGETS="off"),
        timeout=PATIENCE_S,
        check=False,
    )


def _assert_message(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert "The journal" in done.stderr.splitlines()[-1]
    assert "What was acknowledged is kept" in done.stderr


def _until(process: subprocess.Popen[str], true: Any) -> None:
    """Waits until something is so while a process runs."""
    while not true():
        try:
            code = process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"it ended with {code}: {process.communicate()[1]}")
