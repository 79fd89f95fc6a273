"""Every ending is one sentence and the right exit code; nobody ever sees a traceback."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import click
import pytest

from askel_tui.cli.common import CommandError
from askel_tui.cli.error_handling import INTERRUPTED_EXIT_CODE, run_guarded, scrub
from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.problems import Problem
from askel_tui.klaviyo.errors import KeyRefused, Unavailable
from askel_tui.services.workflows import InvalidWorkflow
from askel_tui.store.errors import HomeUnusable, UnknownWorkflow
from tests.support.askel import Askel
from tests.support.patience import PATIENCE_S
from tests.support.shell import ASKEL, Shell, end

pytestmark = pytest.mark.clock


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyRefused("no"), 4),
        (Unavailable("gone"), 5),
        (HomeUnusable(Path("/x"), "is gone"), 1),
        (UnknownWorkflow("x", []), 2),
        (InvalidWorkflow([Problem("no")]), 3),
        (InvalidWorkflow([Problem("no")], scopes=True), 4),
        (CommandError("enough", ExitCode.REFUSED), 3),
        (click.UsageError("wrong"), 2),
        (click.Abort(), INTERRUPTED_EXIT_CODE),
        (KeyboardInterrupt(), INTERRUPTED_EXIT_CODE),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_each_error_ends_with_its_exit_code(error: BaseException, code: int) -> None:
    assert run_guarded(lambda: _raise(error)) == code


def _raise(error: BaseException) -> None:
    raise error


def test_what_nobody_expected_leaves_a_report_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASKEL_HOME", str(tmp_path))
    monkeypatch.setenv("ASKEL_VAULT_KEY", "correct horse")
    assert run_guarded(lambda: _raise(RuntimeError("pk_abc123 correct horse"))) == 1
    message = capsys.readouterr().err
    (report,) = (tmp_path / "crashes").iterdir()
    text = report.read_text()
    assert str(report) in message
    assert message.count("\n") == 1
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "RuntimeError: pk_… …" in text
    assert "in _raise" in text
    for secret in ("pk_abc123", "correct horse"):
        assert secret not in text


def test_without_a_home_the_report_is_given_up_and_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASKEL_HOME", "/proc/askel")
    assert run_guarded(lambda: _raise(RuntimeError("a bug"))) == 1
    assert "no report could be written" in capsys.readouterr().err


def test_keys_and_passphrases_are_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKEL_VAULT_KEY", "correct horse")
    message = scrub("Authorization: Klaviyo-API-Key abc (pk_0123abcd), correct horse")
    assert message == "Authorization: Klaviyo-API-Key … (pk_…), …"


def test_a_reader_that_leaves_ends_it_quietly(shell: Shell) -> None:
    shell.connect()
    with subprocess.Popen(
        [*ASKEL, "audit", "--follow", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment(),
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert following.stdout.readline().startswith(b'{"seq":')
        following.stdout.close()
        shell.connect("second")
        assert following.wait(PATIENCE_S) == 1
        assert following.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_a_sentence(shell: Shell) -> None:
    shell.connect()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ASKEL, "connections", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=shell.environment(),
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "askel: no space left on device\n")


def test_ctrl_c_is_quiet(shell: Shell) -> None:
    shell.connect()
    following = shell.start("audit", "--follow", "--json")
    assert following.stdout is not None
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, message = following.communicate(timeout=PATIENCE_S)
    assert (following.returncode, message.strip()) == (INTERRUPTED_EXIT_CODE, "")


def test_ctrl_c_interrupts_reading_records_from_a_pipe(shell: Shell) -> None:
    shell.connect()
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*ASKEL, "ingest", "-", "--connection", "maple-ember"],
        stdin=reader,
        stderr=subprocess.PIPE,
        env=shell.environment(),
        text=True,
    ) as reading:
        os.close(reader)
        # More than a pipe holds: once this is written, the reading has begun.
        os.write(writer, b"not a record\n" * 10_000)
        reading.send_signal(signal.SIGINT)
        _, message = reading.communicate(timeout=PATIENCE_S)
        os.close(writer)
    assert (reading.returncode, message.strip()) == (INTERRUPTED_EXIT_CODE, "")


def test_a_home_that_cannot_be_written_is_a_sentence(askel: Askel, tmp_path: Path) -> None:
    file = tmp_path / "a-file"
    file.touch()
    message = askel("status", ASKEL_HOME=str(file), code=1).stderr
    assert f"{file} is not a directory" in message
    assert message.count("\n") == 1


def test_two_daemons_on_one_home(shell: Shell) -> None:
    shell.connect()
    first = shell.start("daemon")
    assert first.stderr is not None
    assert "works on" in first.stderr.readline()
    second = shell.run("daemon", "--until-idle", code=1)
    assert "another Askel daemon" in second.stderr
    assert second.stderr.count("\n") == 1
    assert end(first)[0] == 0
