"""`askel doctor` about the HTTP API: where it listens, who may come in, what can't work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from askel_tui.api.server.listen_address import ListenAddress, read_listen_address
from askel_tui.store.locks import OwnershipLock
from askel_tui.store.paths import listen_address_file
from tests.support.listening import Listening, listening
from tests.support.workbench import NAME


def found(front: Listening, code: int = 0) -> dict[str, Any]:
    rows = front.shell.json("doctor", code=code)["findings"]
    return {row["what"]: (row["ok"], row["found"]) for row in rows}


@pytest.mark.slow
def test_it_reports_whether_the_api_listens(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        front.shell.run("token", "create", "short", "--expires", "1d", "--connection", NAME)
        ok, message = found(front)["HTTP API"]
        assert ok
        assert message == f"listens on {front.url}, for this machine only; ready"
        assert found(front)["tokens"] == (True, "2 tokens, 1 without an expiry (tester)")
        front.call("PUT", f"/v1/connections/{NAME}/webhooks/shop", {"secret": "s" * 20, "event": "x"})
        assert found(front)["webhooks"] == (True, "1 webhook")
        assert front.stop() == 0
        assert not listen_address_file(tmp_path).exists()
        ok, message = found(front)["HTTP API"]
        assert ok
        assert message.startswith("not open (`askel daemon --listen")


def test_what_can_not_work_is_wrong(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        front.call("PUT", f"/v1/connections/{NAME}/webhooks/shop", {"secret": "s" * 20, "event": "x"})
        front.stop()
        front.start()
        state = json.loads((tmp_path / "state.json").read_text())
        key, row = next(
            (key, row) for key, row in state["settings"].items() if row["name"].startswith("webhook:")
        )
        state["settings"][key] = {**row, "value": {**row["value"], "scheme": "md5"}}
        (tmp_path / "state.json").write_text(json.dumps(state))
        ok, message = found(front, code=1)["webhooks"]
        assert not ok
        assert f"the settings of {NAME}/shop can't be read" in message
        assert "s" * 20 not in message


@pytest.mark.slow
def test_an_api_that_refuses_records_says_why(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        front.shell.run("token", "revoke", "tester")
        front.shell.run("settings", "set", "min_free_mb", "1000000000")
        # The limit is read with the next token that is shown, and looked at within a second.
        while not ListenAddress(front.url, False, front.process.pid).not_ready_reasons():
            with pytest.raises(OSError, match=r"401|429"):
                front.call("POST", f"/v1/connections/{NAME}/records", {"event": "x"})
        ok, message = found(front, code=1)["HTTP API"]
        assert not ok
        assert "takes no records: the disk has" in message
        assert found(front, code=1)["tokens"] == (True, "0 tokens")


def test_what_a_killed_daemon_left_is_passed_over(tmp_path: Path) -> None:
    left = ListenAddress("http://127.0.0.1:9", False, os.getpid())
    left.save(tmp_path)
    assert read_listen_address(tmp_path) is None
    with OwnershipLock(tmp_path):
        assert read_listen_address(tmp_path) == left
    with pytest.raises(OSError, match="refused"):
        left.not_ready_reasons()
    listen_address_file(tmp_path).write_text("[]")
    with OwnershipLock(tmp_path):
        assert read_listen_address(tmp_path) is None
