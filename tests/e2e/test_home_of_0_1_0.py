"""A home of version 0.1.0 opens and goes on: its journal, state, vault, tokens, settings, exports and workflow files.

The home and the account that it was connected to are in `tests/fixtures/home-0.1.0`, made with that version's code.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from askel_tui.api.server.server import ApiServer, BindAddress
from askel_tui.sync.instance import open_instance
from tests.support.askel import Askel
from tests.support.audit_verifier import documented_verifier
from tests.support.files import ROOT
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import SandboxProcess, sandbox_process

pytestmark = pytest.mark.clock

MADE = ROOT / "tests" / "fixtures" / "home-0.1.0"
FACTS = json.loads((MADE / "facts.json").read_text())
NAME = "maple-ember"
UNPLANNED = ("t-40", "t-41", "t-42")
HELD = ("t-20", "t-21", "t-22", "t-23", "t-24")


@dataclass(frozen=True)
class Found:
    """A copy of the home, and the account as it was left."""

    askel: Askel
    account: SandboxProcess

    def __call__(self, *words: str, code: int | None = 0, stdin: str = "") -> str:
        return self.askel(
            *words,
            code=code,
            stdin=stdin,
            ASKEL_VAULT_KEY=FACTS["passphrase"],
            ASKEL_BUDGETS="off",
        ).stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """The objects of a command that writes one a line."""
        return [json.loads(line) for line in self(*words, "--json").splitlines()]

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """The rows of a command that lists something."""
        (rows,) = self.json(*words).values()
        return list(rows)


def _found(name: str, folder: Path, account: SandboxProcess) -> Found:
    with tarfile.open(MADE / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return Found(Askel(folder / name, account.url, FACTS["key"]), account)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[SandboxProcess]:
    shutil.copy(MADE / "account.json", tmp_path / "account.json")
    with sandbox_process(state=tmp_path / "account.json") as one:
        yield one


@pytest.fixture
def home(tmp_path: Path, account: SandboxProcess) -> Found:
    return _found("home", tmp_path, account)


def test_what_is_there_is_read(home: Found) -> None:
    before, now = json.loads((MADE / "exports" / "status.json").read_text()), home.json("status")
    for part in ("connections", "holds"):
        # The keys of that version are all still there.
        assert [{**row, **old, "since": None} for row, old in zip(now[part], before[part], strict=True)] == [
            {**row, "since": None} for row in now[part]
        ]
    states = {row["name"]: (row["version"], row["state"]) for row in now["workflows"]}
    assert states == {row["name"]: (row["version"], row["state"]) for row in before["workflows"]}
    verified = home.json("audit", "verify")
    assert (verified["entries"], verified["broken_at"]) == (
        115,
        None,
    )  # 114, and the one that closes their chain
    joint = home.lines("audit")[-1]
    last = json.loads(home("audit", "--last", "2", "--json").splitlines()[0])
    assert (joint["chain"], joint["kind"], joint["seq"], last["chain"]) == ("home", "join", 1, "0.1.0")
    assert (joint["target"]["seq"], joint["target"]["hash"]) == (114, last["hash"])
    [copy] = (home.askel.home / "backup").iterdir()  # of the journal, before its schema changed
    assert copy.stat().st_mode & 0o777 == 0o600
    assert {row["name"] for row in home.rows("workflow", "list")} == set(states)
    assert home.json("workflow", "show", "welcome")["version"] == 2
    assert [row["step"] for row in home.rows("hold", "list")] == ["welcome"]
    assert {row["record"] for row in home.rows("failed", "list")} == {"t-50", "t-51"}
    assert {row["name"] for row in home.rows("token", "list")} == set(FACTS["tokens"])
    settings = home("settings")
    assert "retention_days  4,000" in re.sub("  +", "  ", settings), settings
    assert "Maple & Ember" in home("check", NAME)


def test_the_daemon_goes_on_where_it_was_killed(home: Found) -> None:
    """A job is followed, an event in doubt counts once, a command is carried out, what is held waits."""
    home("daemon", "--until-idle", code=3)
    state = home.account.state()
    stamps = {each["email"]: each["properties"].get("Stamps") for each in state["profiles"]}
    assert [stamps[f"s{number}@mapleandember.example"] for number in range(8)] == list(range(8))
    imports = home.account.control("GET", "requests")["requests"]
    assert not [each for each in imports if each["endpoint"] == "bulk_import_profiles"]
    assert len([each for each in state["events"] if each["metric"] == "Shop Visited"]) == 1
    rows = {row["name"]: row for row in home.rows("workflow", "list")}
    assert rows["checkout-completed"]["state"] == "active"
    assert rows["checkout-completed"]["sent"] > 0
    assert [(row["step"], row["waiting"]) for row in home.rows("hold", "list")] == [("welcome", 8)]

    home.account.control("POST", "lists/MeWelc/restore")
    home("hold", "release", "welcome", "welcome")
    home("daemon", "--until-idle", code=None)
    whole = home.askel.home / "whole.jsonl"
    home("audit", "export", "--output", str(whole))
    lines = whole.read_text().splitlines()
    assert {json.loads(line)["chain"] for line in lines} >= {"0.1.0", "home", "account:MpEmbr/writes"}
    assert list(documented_verifier()(lines)) == []
    listed = next(row for row in home.account.state()["lists"] if row["name"] == "Welcome Flow")
    welcomed = {f"{record.replace('-', '')}@mapleandember.example" for record in (*HELD, *UNPLANNED)}
    assert welcomed <= set(listed["emails"])
    assert home.json("audit", "verify")["broken_at"] is None
    assert home.rows("hold", "list") == []


def test_exports_and_workflow_files_are_read(home: Found, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    home("audit", "export", "--output", str(again), "--record", "t-3")
    before = [json.loads(line) for line in (MADE / "exports" / "audit.jsonl").read_text().splitlines()]
    new = {"chain": "0.1.0", "payload": None, "claimed": None}
    assert [{**json.loads(line), "position": None} for line in again.read_text().splitlines()] == [
        {**each, **new, "position": None} for each in before
    ]
    exported = MADE / "exports" / "welcome.yaml"
    assert home("workflow", "export", "welcome") == exported.read_text()
    home("workflow", "validate", str(exported))
    home.account.control("POST", "lists/MeWelc/restore")
    home("workflow", "apply", str(exported))


async def test_its_tokens_open_the_http_api(
    tmp_path: Path, account: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _found("home", tmp_path, account)
    for name, value in {"HOME": str(home.askel.home), "VAULT_KEY": FACTS["passphrase"]}.items():
        monkeypatch.setenv(f"ASKEL_{name}", value)
    monkeypatch.setenv("ASKEL_KLAVIYO_URL", account.url)
    record = {"id": "new-1", "event": "stamp_collected", "data": {"email": "new@mapleandember.example"}}
    async with open_instance(home.askel.home, owner=True) as owner:
        api = ApiServer(owner, BindAddress("127.0.0.1", 0))
        running = asyncio.create_task(api.run())
        request = urllib.request.Request(
            f"{api.url}/v1/connections/{NAME}/records",
            data=json.dumps(record).encode(),
            headers={
                "Authorization": f"Bearer {FACTS['tokens']['shop']}",
                "Content-Type": "application/json",
            },
        )
        assert await asyncio.to_thread(_status, request) in (200, 201, 202)
        api.stop()
        await running
        assert [each.record.id for each in await owner.journal.records_after(NAME, 0, 1_000)][-1] == "new-1"


def _status(request: urllib.request.Request) -> int:
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        status: int = answer.status
        return status


def test_a_home_whose_daemon_was_killed_has_its_last_writes(tmp_path: Path) -> None:
    """The write-ahead log is read; nothing of what was acknowledged is lost."""
    with sandbox_process() as account:
        home = _found("killed", tmp_path, account)
        with sqlite3.connect(home.askel.home / "journal.db") as journal:
            assert journal.execute("SELECT count(*) FROM records").fetchone() == (3,)
        journal.close()
        home("daemon", "--until-idle")
        assert home.json("audit", "verify")["broken_at"] is None
        assert [row["sent"] for row in home.rows("workflow", "list")] == [3]
