"""The daemon with its HTTP API as processes: killed in a burst, told to stop, told to read anew."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from askel_tui.store.sqlite.journal import open_journal
from tests.support.http_api import WORKFLOW
from tests.support.listening import Listening, listening
from tests.support.patience import PATIENCE_S
from tests.support.processes import children
from tests.support.shell import kill
from tests.support.workbench import NAME, points

RECORDS = f"/v1/connections/{NAME}/records"


async def _burst(front: Listening, name: str, answered: list[str], enough: asyncio.Event) -> None:
    """Sends until nobody answers any more: the end is a request that got no answer."""
    headers = {"Authorization": f"Bearer {front.token}"}
    async with httpx.AsyncClient(base_url=front.url, headers=headers, timeout=PATIENCE_S) as http:
        for number in count(0, 5):
            batch = [{**points(each), "id": f"{name}-{each}"} for each in range(number, number + 5)]
            try:
                answer = await http.post(RECORDS, json=batch)
            except httpx.HTTPError:
                return
            assert answer.status_code == 202
            rows = answer.json()["records"]
            assert [row["fate"] for row in rows] == ["new"] * 5
            answered.extend(row["id"] for row in rows)
            if len(answered) >= 1_000:
                enough.set()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_in_a_burst_it_has_every_record_that_it_answered_once(tmp_path: Path) -> None:
    """Each of three bursts is of new records, and is killed while all of its clients still send.

    What was stored goes on to the account, once each: also what was stored and not answered.
    """
    with listening(tmp_path) as front:
        _run_workflow(front, tmp_path)
        seeded = len((await asyncio.to_thread(front.sandbox.state))["events"])
        answered: list[str] = []
        for burst in range(3):
            before = len(answered)
            of_burst: list[str] = []
            enough = asyncio.Event()
            names = [f"b-{burst}-{who}" for who in range(8)]
            clients = [asyncio.create_task(_burst(front, name, of_burst, enough)) for name in names]
            await enough.wait()
            assert not any(client.done() for client in clients)
            await asyncio.to_thread(kill, front.process)
            await asyncio.gather(*clients)
            answered += of_burst
            assert len(answered) - before >= 1_000
            journal = await open_journal(tmp_path)
            stored = [each.record.id for each in await journal.records_after(NAME, 0, 1_000_000)]
            await journal.close()
            assert len(set(stored)) == len(stored)
            assert set(answered) <= set(stored)
            if burst < 2:
                await asyncio.to_thread(front.start)
        await asyncio.to_thread(
            front.processes.run, "daemon", "--until-idle", timeout=150, ASKEL_BUDGETS="off"
        )
        events = (await asyncio.to_thread(front.sandbox.state))["events"]
        assert len(events) - seeded == len(stored)


def _run_workflow(front: Listening, folder: Path) -> None:
    (folder / "tested.yaml").write_text(WORKFLOW)
    front.shell.run("workflow", "apply", str(folder / "tested.yaml"))
    front.shell.run("workflow", "activate", "tested")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("packed", [False, True], ids=["600 bytes each", "3 KB each, packed"])
async def test_a_burst_of_50_000_records_takes_less_than_300_mb(tmp_path: Path, packed: bool) -> None:
    """They come at once, and are planned and sent while they come in."""
    count, filler = (1_250, "n" * 2_800) if packed else (2_500, "n" * 300)
    with listening(tmp_path) as front:
        _run_workflow(front, tmp_path)
        headers = {"Authorization": f"Bearer {front.token}", "Content-Type": "application/x-ndjson"}
        headers |= {"Content-Encoding": "gzip"} if packed else {}

        async def send(http: httpx.AsyncClient, start: int) -> int:
            rows = ({**points(n), "id": f"m-{n}", "actor": filler} for n in range(start, start + count))
            body = b"\n".join(json.dumps(row).encode() for row in rows)
            content = gzip.compress(body, 1) if packed else body
            while (answer := await http.post(RECORDS, content=content)).status_code == 429:
                await asyncio.sleep(int(answer.headers["retry-after"]))
            return int(answer.json()["accepted"])

        held: list[float] = []
        watching = asyncio.create_task(_watch(front.process.pid, held))
        async with httpx.AsyncClient(base_url=front.url, headers=headers, timeout=PATIENCE_S) as http:
            accepted = await asyncio.gather(*(send(http, start) for start in range(0, 50_000, count)))
        assert sum(accepted) == 50_000
        while (await asyncio.to_thread(front.processes.json, "status"))["workflows"][0]["sent"] < 50_000:
            pass
        watching.cancel()
        assert max(held) < 300


async def _watch(pid: int, held: list[float]) -> None:
    """Notes what a process and those that help it hold, in MB."""
    while True:
        held.append(_memory_mb(pid, "VmRSS") + sum(_memory_mb(each, "RssAnon") for each in children(pid)))
        await asyncio.sleep(0.05)


def _memory_mb(pid: int, what: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.split(f"{what}:")[1].split()[0]) / 1024


def test_it_stops_after_it_has_answered(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        assert front.call("POST", RECORDS, points(1))[0] == 202
        assert front.stop() == 0
        with pytest.raises(OSError, match="refused"):
            front.call("GET", "/healthz")
        front.start()
        assert front.call("POST", RECORDS, points(1))[1]["records"][0]["fate"] == "same"


def listens_at(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 30).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # it was closed while it was connected to
    return True


def status(url: str) -> int:
    return httpx.get(url, timeout=PATIENCE_S).status_code


def test_what_is_under_way_is_answered_before_it_stops(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        url = urlsplit(front.url)
        address = (url.hostname or "", url.port or 0)
        body = json.dumps(points(1)).encode()
        head = f"POST {RECORDS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {front.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection(address, 30) as under_way:
            under_way.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            # It asks for the body: the request is inside.
            assert b"100 Continue" in under_way.recv(1_000)
            under_way.sendall(body[:10])
            front.process.send_signal(signal.SIGTERM)
            while listens_at(address):
                pass
            under_way.sendall(body[10:])
            assert b" 202 " in under_way.recv(10_000)
        assert front.ended() == 0
        front.start()
        assert front.call("POST", RECORDS, points(1))[1]["records"][0]["fate"] == "same"


@pytest.mark.slow
def test_sighup_reads_settings_anew_and_keeps_serving(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        assert front.call("GET", "/readyz") == (200, {"ok": True, "why": []})
        front.shell.run("settings", "set", "min_free_mb", "1000000000")
        front.process.send_signal(signal.SIGHUP)
        # No token is looked at here, which would have settings read too: it is the signal that counts.
        while status(f"{front.url}/readyz") == 200:
            pass
        assert status(f"{front.url}/readyz") == 503
        assert front.process.poll() is None


@pytest.mark.slow
def test_a_revoked_token_is_refused_by_the_running_daemon(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        assert front.call("POST", RECORDS, points(1))[0] == 202
        listed = front.shell.json("token", "list")["tokens"]
        assert [row["name"] for row in listed] == ["tester"]
        assert front.token.split("_", 2)[2] not in json.dumps(listed)
        front.shell.run("token", "revoke", "tester")
        with pytest.raises(OSError, match="401"):
            front.call("POST", RECORDS, points(2))
        decided = [row["kind"] for row in front.shell.lines("audit") if row["kind"].startswith("token_")]
        assert decided == ["token_create", "token_revoke"]


def test_addresses_and_tokens_that_can_not_be_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with listening(tmp_path) as front:
        shell = front.shell
        public = shell.run("daemon", "--listen", "0.0.0.0:0", code=2)
        assert "--public" in public.stderr
        assert "TLS" in public.stderr
        assert "Traceback" not in public.stderr
        shell.run("daemon", "--public", code=2)
        shell.run("token", "create", "x", "--connection", "nobody", code=2)
        shell.run("token", "create", "x", "--expires", "soon", code=2)
        shell.run("token", "revoke", "nobody", code=2)
        made: Any = shell.json(
            "token", "create", "y", "--connection", NAME, "--expires", "90d", "--rate", "5"
        )
        assert made["token"].startswith("askel_")
        assert made["connections"] == [NAME]


def test_the_daemon_without_the_api_loads_no_server() -> None:
    code = (
        "import sys, askel_tui.cli.commands.daemon, askel_tui.sync.engine.daemon, askel_tui.sync.engine.engine;"
        "print([name for name in sys.modules if name.split('.')[0] in ('fastapi', 'uvicorn', 'starlette')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
