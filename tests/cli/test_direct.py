"""Segments, flows, the sandbox and the doctor from a shell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from askel_tui.store.journal.rows import Decision
from askel_tui.sync.instance import now_ms, open_instance
from tests.support.askel import Askel
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess
from tests.support.shell import Shell

pytestmark = pytest.mark.clock


def test_who_is_in_a_segment(askel: Askel) -> None:
    askel.connect()
    assert (
        askel("segment", "check", "maple-ember", "VIP", "vip@example.com").stdout
        == "vip@example.com is in VIP\n"
    )
    found = askel.json("segment", "check", "maple-ember", "VIP", "nobody@example.com")
    assert (found["member"], found["segment"]["name"]) == (False, "VIP")
    assert "'VIP'?" in askel("segment", "check", "maple-ember", "VIPP", "x@y.example", code=3).stderr


def test_a_segment_that_the_key_may_not_read_is_not_called_missing(
    askel: Askel, account: SandboxProcess
) -> None:
    scopes = ["accounts:read", "profiles:read", "profiles:write", "lists:read", "lists:write", "events:write"]
    account.control("POST", "keys", {"key": "pk_sandbox_without_segments", "scopes": scopes})
    message = askel.connect(key="pk_sandbox_without_segments").stderr
    assert "its key can do all" not in message
    message = askel("segment", "check", "maple-ember", "VIP", "vip@example.com", code=4).stderr
    assert "segments:read" in message
    assert "is called" not in message


def test_a_flow_that_is_not_there_is_reported_in_one_sentence(askel: Askel) -> None:
    askel.connect()
    message = askel("flow", "fire", "maple-ember", "Welcome Seris", "fired@example.com", code=3).stderr
    assert message == "askel: the account has no flow 'Welcome Seris'. Did you mean 'Welcome Series'?\n"


@pytest.mark.slow
def test_a_flow_is_fired_once_and_says_when_it_will_not(askel: Askel) -> None:
    askel.connect()
    words = ("flow", "fire", "maple-ember", "Welcome Series", "fired@example.com")
    first = askel.json(*words)
    assert first["complete"] is True
    assert {entry["status"] for entry in first["entries"]} == {"written"}
    assert first["warnings"] == []
    again = askel(*words).stderr
    assert "already, which fires nothing" in again
    assert "Welcome Series does not start" in again
    assert "was given its trigger" not in again
    assert askel.json(*words)["fires"] is False
    assert "draft, not live" in askel("flow", "fire", "maple-ember", "Win-back", "fired@example.com").stderr


def test_a_filter_that_may_keep_a_flow_from_firing_is_reported(askel: Askel, account: SandboxProcess) -> None:
    askel.connect()
    trigger = {"type": "metric", "id": "MeMFst", "trigger_filter": {"condition_groups": [{"conditions": []}]}}
    account.control("PATCH", "flows/MeFPts", {"trigger": trigger})
    words = ("flow", "fire", "maple-ember", "First Points Thanks", "fired@example.com")
    message = askel(*words).stderr
    assert "has a filter" in message
    assert "Klaviyo keeps no events of example.com" in message


def test_a_flow_that_cannot_be_fired(askel: Askel) -> None:
    askel.connect()
    message = askel("flow", "fire", "maple-ember", "Welcom Series", "x@example.com", code=3).stderr
    assert "Did you mean 'Welcome Series'?" in message
    both = ("--list", "a", "--metric", "b")
    assert "exclude" in askel("flow", "fire", "maple-ember", "x", "y@example.com", *both, code=2).stderr


def test_the_doctor_finds_everything_in_order(askel: Askel) -> None:
    askel.connect()
    found = askel.json("doctor")
    assert found["ok"] is True
    assert {"home", "file system", "journal", "audit chain", "keys", "daemon", "connection maple-ember"} <= {
        row["what"] for row in found["findings"]
    }
    assert askel.key not in askel("doctor").output


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"ASKEL_VAULT_KEY": None}, "keys"),
        ({"ASKEL_KLAVIYO_URL": "http://127.0.0.1:9"}, "connection maple-ember"),
        ({"ASKEL_HOME": "/proc/nowhere"}, "home"),
    ],
)
@pytest.mark.slow
def test_the_doctor_names_what_is_wrong(askel: Askel, variables: dict[str, str | None], wrong: str) -> None:
    askel.connect()
    found = askel.json("doctor", code=1, **variables)
    assert [row["what"] for row in found["findings"] if not row["ok"]] == [wrong]


def test_a_sandbox_on_a_taken_port(askel: Askel) -> None:
    port = askel.url.rpartition(":")[2]
    message = askel("sandbox", "--port", port, code=1)
    assert (
        message.stderr
        == f"askel: port {port} on 127.0.0.1 is taken: --port names another, 0 takes a free one\n"
    )


def test_a_sandbox_says_where_it_is(shell: Shell, tmp_path: Path) -> None:
    running = shell.start("sandbox", "--port", "0", "--no-limits", "--state", str(tmp_path / "state.json"))
    assert running.stdout is not None
    words = running.stdout.readline().split()
    assert words[2].startswith("http://127.0.0.1:")
    assert Shell(tmp_path / "other", words[2], words[4]).json("connections") == {"connections": []}
    Shell(tmp_path / "other", words[2], words[4]).connect()
    assert running.stderr is not None
    assert "get_accounts 200" in running.stderr.readline()
    running.terminate()
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0
    assert (tmp_path / "state.json").exists()


def test_the_doctor_tells_of_a_job_that_did_not_add_up(askel: Askel, monkeypatch: pytest.MonkeyPatch) -> None:
    askel.connect()
    monkeypatch.setenv("ASKEL_HOME", str(askel.home))

    async def note() -> None:
        async with open_instance(askel.home) as instance:
            detail = {
                "job": "J1",
                "accepted": 10,
                "detail": "of 10 accepted rows 8 are complete and 1 failed",
            }
            decision = Decision("imbalance", "askel", "maple-ember", detail=detail)
            await instance.journal.write_decision(decision, instance.clock())

    asyncio.run(note())
    found = askel.json("doctor", code=1)
    [wrong] = [row for row in found["findings"] if not row["ok"]]
    assert wrong["what"] == "bulk receipts"
    assert "J1: of 10 accepted rows" in wrong["found"]


def test_the_doctor_says_that_the_machines_clock_is_wrong(
    askel: Askel, monkeypatch: pytest.MonkeyPatch
) -> None:
    askel.connect()
    monkeypatch.setattr("askel_tui.sync.instance.now_ms", lambda: now_ms() - 3 * 3_600_000)
    [wrong] = [row for row in askel.json("doctor", code=1)["findings"] if not row["ok"]]
    assert wrong["what"] == "connection maple-ember"
    assert "this machine's clock is 3 h behind Klaviyo's: set it" in wrong["found"]
