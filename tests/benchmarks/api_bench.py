"""The HTTP API against a bare FastAPI endpoint on the same uvicorn, which reads the JSON and stores nothing.

Sixteen clients on loopback, 600 bytes a body; both servers and the clients are processes of their own, and both are
measured in the same run. Also: the time to the answer at half and at a quarter of what the bare endpoint does, and
lists of a thousand.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from tests.support.files import EXAMPLES
from tests.support.sandbox import sandbox_process
from tests.support.shell import Shell, end

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 16
PROCESSES = 2
SECONDS = 6.0
BATCH = 1_000
PATH = "/v1/connections/bench/records"

BARE = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.post("/v1/connections/{name}/records", status_code=202)
async def take(name: str, record: dict) -> dict:
    return {"accepted": 1}
uvicorn.run(app, port=int(sys.argv[1]), http="h11", ws="none", access_log=False, log_level="warning")
"""


def body(number: str) -> bytes:
    """A record of about 600 bytes."""
    shopper = {"id": f"S-{number}", "email": f"s{number}@bench.example", "first_name": "Ada", "tier": "gold"}
    record = {
        "id": f"evt-{number}",
        "event": "first_points_earned",
        "time": "2026-11-23T09:14:05Z",
        "data": {"points": 120, "shopper": shopper, "note": ""},
        "actor": "rewards-service",
    }
    room = 600 - len(json.dumps(record))
    record["data"]["note"] = "n" * max(0, room)  # type: ignore[index]
    return json.dumps(record).encode()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, content: bytes, media: bytes
) -> int:
    writer.write(
        head + b"Content-Type: " + media + b"\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    return int(answer[9:12])


async def _client(
    port: int, token: str, who: str, seconds: float, pause: float, batch: int, times: list[float]
) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n".encode()
    media = b"application/x-ndjson" if batch > 1 else b"application/json"
    count = 0
    stop = time.perf_counter() + seconds
    due = time.perf_counter()
    while time.perf_counter() < stop:
        content = b"\n".join(body(f"{who}-{count}-{index}") for index in range(batch))
        if pause:
            due += pause
            await asyncio.sleep(max(0, due - time.perf_counter()))
        began = time.perf_counter()
        status = await _exchange(reader, writer, head, content, media)
        times.append(time.perf_counter() - began)
        if status != 202:
            raise RuntimeError(f"answered {status}")
        count += 1
    writer.close()
    return count


def _clients(
    port: int, token: str, who: str, clients: int, seconds: float, pause: float, batch: int
) -> tuple[int, list[float]]:
    times: list[float] = []

    async def all_of_them() -> int:
        each = [
            _client(port, token, f"{who}{number}", seconds, pause, batch, times) for number in range(clients)
        ]
        return sum(await asyncio.gather(*each))

    return asyncio.run(all_of_them()), times


def load(
    port: int,
    token: str,
    who: str,
    *,
    clients: int = CLIENTS,
    seconds: float = SECONDS,
    pause: float = 0,
    batch: int = 1,
) -> tuple[float, list[float]]:
    """(requests a second, their times in seconds)."""
    share = max(1, clients // PROCESSES)
    with ProcessPoolExecutor(PROCESSES) as pool:
        jobs = [
            pool.submit(_clients, port, token, f"{who}{number}", share, seconds, pause, batch)
            for number in range(clients // share)
        ]
        done = [job.result() for job in jobs]
    return sum(count for count, _ in done) / seconds, [each for _, times in done for each in times]


@contextmanager
def api(home: Path) -> Iterator[tuple[int, str, subprocess.Popen[str]]]:
    """A daemon with a connection and no workflow: (port, token, process)."""
    with sandbox_process() as sandbox:
        shell = Shell(home, sandbox.url, sandbox.key)
        shell.connect("bench")
        token = shell.run("token", "create", "bench", "--connection", "bench").stdout.strip()
        process = shell.start("daemon", "--listen", "127.0.0.1:0")
        try:
            yield _port(process), token, process
        finally:
            end(process)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    while line := process.stderr.readline():
        if "listens on http" in line:
            return int(line.rsplit(":", 1)[1])
    raise RuntimeError("the daemon did not listen")


@contextmanager
def bare() -> Iterator[int]:
    """The bare endpoint's port."""
    port = 18_765
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    try:
        for _ in range(100):
            try:
                _clients(port, "none", "probe", 1, 0.01, 0, 1)
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


EVENTS_ONLY = """
workflow: arrivals
connection: bench
trigger: first_points_earned
profile: {email: data.shopper.email}
steps:
  - id: points
    track_event: {metric: First Points Earned, value: data.points}
"""


def arrivals(source: str, rate: int, seconds: int) -> list[float]:
    """Seconds from a record's 202 to Klaviyo's answer for its last step, at a rate, with Klaviyo's limits."""
    with tempfile.TemporaryDirectory() as home, sandbox_process(arguments=()) as sandbox:
        shell = Shell(Path(home), sandbox.url, sandbox.key)
        shell.connect("bench")
        file = Path(home) / "workflow.yaml"
        file.write_text(source)
        shell.run("workflow", "apply", str(file))
        shell.run("workflow", "activate", source.split("workflow: ", 1)[1].split()[0])
        token = shell.run("token", "create", "bench", "--connection", "bench").stdout.strip()
        process = shell.start("daemon", "--listen", "127.0.0.1:0")
        try:
            sent = asyncio.run(_paced(_port(process), token, rate, seconds))
            until = time.monotonic() + 60
            while json.loads(shell.run("status", "--json").stdout)["workflows"][0]["waiting"]:
                if time.monotonic() > until:
                    raise RuntimeError("what was sent has not arrived")
        finally:
            end(process)
        ended = {row["record"]: row["at"] for row in shell.lines("audit") if row["record"]}
        # The first second warms up what a daemon loads with its first call.
        warm = [record for record in sent if int(record.removeprefix("evt-")) >= rate]
        return [datetime.fromisoformat(ended[record]).timestamp() - sent[record] for record in warm]


async def _paced(port: int, token: str, rate: int, seconds: int) -> dict[str, float]:
    """When each record was answered, one at a time on connections of its own."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n".encode()
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    free = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    for each in connections:
        free.put_nowait(each)
    sent: dict[str, float] = {}

    async def one(number: int) -> None:
        reader, writer = await free.get()
        status = await _exchange(reader, writer, head, body(str(number)), b"application/json")
        sent[f"evt-{number}"] = time.time()
        free.put_nowait((reader, writer))
        if status != 202:
            raise RuntimeError(f"answered {status}")

    began = time.perf_counter()
    tasks = []
    for number in range(rate * seconds):
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    for _, writer in connections:
        writer.close()
    return sent


def p99(times: list[float]) -> float:
    """In milliseconds."""
    return round(quantiles(times, n=100)[98] * 1000, 1)


def memory_mb(process: subprocess.Popen[str]) -> int:
    """The most memory that the process has held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1000


def run() -> dict[str, Any]:
    """The numbers."""
    found: dict[str, Any] = {}
    with bare() as port:
        load(port, "none", "warm", seconds=1)
        found["bare_per_s"], times = load(port, "none", "b")
        found["bare_p99_ms"] = p99(times)
    with tempfile.TemporaryDirectory() as home, api(Path(home)) as (port, token, process):
        load(port, token, "warm", seconds=1)
        rate, times = load(port, token, "d")
        found |= {"api_per_s": rate, "api_p99_ms": p99(times), "ratio": rate / found["bare_per_s"]}
        for word, share in (("half", 2), ("quarter", 4)):
            rate, times = load(port, token, word, pause=CLIENTS / (found["bare_per_s"] / share))
            found |= {f"{word}_of_bare_per_s": rate, f"{word}_of_bare_p99_ms": p99(times)}
        batches, _ = load(port, token, "m", clients=4, batch=BATCH)
        found |= {"batch_records_per_s": batches * BATCH, "memory_mb": memory_mb(process)}
    found["events_at_50_p99_ms"] = p99(arrivals(EVENTS_ONLY, 50, 20))
    first = (EXAMPLES / "first-points-welcome.yaml").read_text()
    first = first.replace("connection: maple-ember", "connection: bench")
    found["first_points_at_10_p99_ms"] = p99(arrivals(first, 10, 30))
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    print(json.dumps(run()))
