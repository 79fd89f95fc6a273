"""What the benchmarks share: an account, a home with records in it, a real daemon on it, and the exact end state."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from askel_tui.contract.endpoints import NEWEST, endpoint
from askel_tui.services import connections, workflows
from askel_tui.services.ingest import ingest
from askel_tui.sync.instance import open_instance
from tests.support.processes import children
from tests.support.sandbox import SandboxProcess, sandbox_process

NAME = "bench"
LIST = "Welcome Flow"
METRIC = "First Points Earned"
TRIGGER = "first_points_earned"
JOB_S = 3.0
"""How long the sandbox's bulk jobs take, in seconds."""
PASSPHRASE = "a benchmark's vault"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, and the reference of the same run where there is one."""

    measured: str
    value: float
    unit: str
    reference: str = ""
    reference_value: float | None = None
    aim: float | None = None
    """What it is to be at most, or at least where `more` is better."""
    more: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value over the reference."""
        return self.value / self.reference_value if self.reference_value else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.more else self.value <= self.aim


def bound(call: str, calls: int, revision: str = NEWEST) -> float:
    """The fewest seconds in which Klaviyo's windows let this many calls of one kind start."""
    windows = endpoint(revision, call).windows
    return max((calls - 1) // window.limit * window.seconds for window in windows)


UPSERT = (
    "{id: tier, upsert_profile: {first_name: data.name, "
    "properties: {LoyaltyTier: data.tier, LoyaltyPoints: data.points}}}"
)
GATE = "{id: not-vip, require_segment: {segment: VIP, member: false}}"
ADDITION = f"{{id: welcome, add_to_list: {LIST}}}"
EVENT = f"{{id: points, track_event: {{metric: {METRIC}, value: data.points, properties: {{Points: data.points}}}}}}"


def workflow(
    steps: Iterable[str] = (UPSERT, ADDITION, EVENT), *, name: str = NAME, trigger: str = TRIGGER
) -> str:
    """A workflow file of these steps."""
    head = (
        f"workflow: {name}\nconnection: {NAME}\ntrigger: {trigger}\nprofile: {{email: data.email}}\nsteps:\n"
    )
    return head + "".join(f"  - {step}\n" for step in steps)


def email(number: int, name: str = "b") -> str:
    """The address of the person of a record."""
    return f"{name}{number}@bench.example"


def line(number: int, name: str = "b", trigger: str = TRIGGER) -> bytes:
    """A record as a line of JSON, of another person each."""
    data = {"email": email(number, name), "name": "Ada", "tier": "Gold", "points": number}
    time = "2026-11-23T09:00:00Z"
    return json.dumps({"id": f"{name}-{number}", "event": trigger, "time": time, "data": data}).encode()


@contextmanager
def account(*, limits: bool = True, job_s: float = JOB_S, log: bool = False) -> Iterator[SandboxProcess]:
    """A sandbox in a process of its own; the environment names it while it runs."""
    arguments = ["--job-time", str(job_s)]
    arguments += [] if limits else ["--no-limits"]
    arguments += [] if log else ["--no-log"]
    with sandbox_process(arguments=tuple(arguments)) as server:
        os.environ.update(ASKEL_KLAVIYO_URL=server.url, ASKEL_VAULT_KEY=PASSPHRASE)
        yield server


async def prepare(
    home: Path, key: str, source: str, lines: Iterable[bytes] = (), *, revision: str = NEWEST
) -> float:
    """Connects, applies and activates a workflow and takes records in; gives the seconds of taking them in."""
    async with open_instance(home) as instance:
        await connections.connect(
            instance,
            NAME,
            key,
            NAME,
            revision=revision,
            accept_retired=revision != NEWEST,
        )
        await workflows.apply(instance, source, f"{NAME}.yaml", NAME)
        await workflows.activate(instance, NAME, NAME)
        began = time.perf_counter()
        await ingest(instance, NAME, lines, "jsonl")
        return time.perf_counter() - began


@dataclass(frozen=True)
class Ran:
    """A process that ended, those that it started counted in: wall-clock and processor seconds, and the most memory.

    The memory, in MB, is the sum of the most that each of them held, which may have been at different times.
    """

    seconds: float
    cpu_s: float
    peak_mb: float


SAMPLES = 10
"""How many looks at a process go by until it is looked for what it has started since."""


class Process:
    """A process that is measured: `ended` waits for it, `usage` looks at it while it runs."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.began = time.perf_counter()
        self._errors = ""
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._seen: dict[int, tuple[float, float]] = {}
        """By process: what it has used as it was last seen."""
        self._family = [self.process.pid]
        self._looked = 0

    def usage(self) -> tuple[float, float]:
        """(processor seconds so far, most memory so far in MB); of a process that is over, what was seen last."""
        if self._looked % SAMPLES == 0:
            self._family = [self.process.pid, *children(self.process.pid)]
        self._looked += 1
        for pid in self._family:
            cpu_s, most_mb = self._seen.get(pid, (0.0, 0.0))
            held = peak_mb(pid, own=pid != self.process.pid)
            self._seen[pid] = max(cpu_s, cpu_seconds(pid)), max(most_mb, held)
        cpu, memory = zip(*self._seen.values(), strict=True)
        return sum(cpu), sum(memory)

    async def ended(self, timeout: float) -> Ran:
        """Waits for the end. Raises `RuntimeError` with what it said where it ended badly or not in time."""
        waiting = asyncio.create_task(asyncio.to_thread(self._wait))
        end = self.began + timeout
        used = self.usage()
        while not waiting.done():
            used = self.usage()
            if time.perf_counter() > end:
                self.process.kill()
            await asyncio.wait({waiting}, timeout=0.1)
        ended, code = waiting.result()
        if code != 0:
            raise RuntimeError(f"the process ended with {code}: {self._errors[-2000:]}")
        return Ran(ended - self.began, *used)

    def _wait(self) -> tuple[float, int]:
        _, self._errors = self.process.communicate()
        return time.perf_counter(), self.process.returncode

    def stop(self) -> None:
        """Asks it to end (SIGTERM)."""
        self.process.terminate()


def daemon(home: Path, *, until_idle: bool = True) -> Process:
    """`askel daemon` on a home, in a process of its own."""
    command = [sys.executable, "-m", "askel_tui", "daemon", *(["--until-idle"] if until_idle else [])]
    return Process(command, {"ASKEL_HOME": str(home)})


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a running process; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int, *, own: bool = False) -> float:
    """The most memory that a running process has held; 0 where the system does not tell.

    `own` leaves out the pages of files: a process of the same program holds them too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    rows = dict(row.split(":", 1) for row in status.splitlines())
    held, of_files = (int(rows.get(name, "0 kB").split()[0]) / 1024 for name in ("VmHWM", "RssFile"))
    return held - of_files if own else held


def throttled(server: SandboxProcess) -> tuple[int, int]:
    """(calls answered with 429, all calls) since the sandbox started."""
    requests = server.control("GET", "answers")["answers"]
    refused = sum(statuses.get("429", 0) for statuses in requests.values())
    return refused, sum(sum(statuses.values()) for statuses in requests.values())


def differences(server: SandboxProcess, count: int, *, lists: bool = True, events: bool = True) -> list[str]:
    """How the account differs from what `count` records of `line` have to make of it; empty where it does not."""
    state = server.state()
    wanted = {email(number): number for number in range(count)}
    found: list[str] = []
    ours = {each["email"]: each for each in state["profiles"] if each.get("email") in wanted}
    wrong = [
        name
        for name, number in wanted.items()
        if name not in ours
        or ours[name].get("first_name") != "Ada"
        or ours[name]["properties"] != {"LoyaltyTier": "Gold", "LoyaltyPoints": number}
    ]
    if wrong:
        found.append(f"{len(wrong)} profiles missing or wrong, {wrong[0]} among them")
    if lists:
        members = [name for each in state["lists"] if each["name"] == LIST for name in each["emails"]]
        members = [name for name in members if name in wanted]
        if sorted(members) != sorted(wanted):
            found.append(f"{len(members)} on the list, not {count}")
    if events:
        sent = [each for each in state["events"] if each["metric"] == METRIC and each["email"] in wanted]
        right = [each for each in sent if each["properties"] == {"Points": wanted[each["email"]]}]
        if len(sent) != count or len({each["email"] for each in right}) != count:
            found.append(f"{len(sent)} events, {len(right)} of them right, not {count}")
    return found


def machine() -> str:
    """What the numbers were measured on."""
    model = platform.processor() or platform.machine()
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), model)
    except OSError:
        pass
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
