"""(g): the work of (a) by Klaviyo's own SDK and by drt-core, against the same server with its limits on.

Each has an environment of its own, made once by pip and kept under the user's cache. What can't be had there is left
out, with a word. Slow ones do fewer records; what is compared is records a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.backlog import drained
from tests.benchmarks.common import LIST, Row, account, throttled

HERE = Path(__file__).parent
SDK, DRT = "klaviyo-api==24.0.0", "drt-core==1.2.1"
RECORDS, QUICK = 20_000, 60
PATIENCE_S = 900


@dataclass(frozen=True)
class Other:
    """Another way to do the work: the package, the script, how it does it, and how many records it is given."""

    name: str
    package: str
    script: str
    how: str
    records: int


OTHERS = (
    Other("SDK, one by one", SDK, "other_sdk.py", "serial", 400),
    Other("SDK, 8 threads", SDK, "other_sdk.py", "threads", 400),
    Other("SDK, bulk", SDK, "other_sdk.py", "bulk", RECORDS),
    Other("drt, its own rate", DRT, "other_drt.py", "default", 300),
    Other("drt, tuned", DRT, "other_drt.py", "tuned", 300),
)


async def measure(quick: bool = False) -> list[Row]:
    """Our records a second over theirs."""
    count = QUICK if quick else RECORDS
    ran, _, _, _ = await drained(count)
    ours = count / ran.seconds
    rows = []
    for other in OTHERS[2:3] if quick else OTHERS:
        python = await asyncio.to_thread(environment, other.package)
        if python is None:
            print(f"{other.name}: {other.package} can't be had here, left out", file=sys.stderr)
            continue
        result, refused = await asyncio.to_thread(_run, other, python, min(other.records, count))
        theirs = result["done"] / result["seconds"]
        note = f"they: {result['done']:.0f} records in {result['seconds']:.0f} s, "
        note += f"{result['lost']:.0f} lost, {refused} 429s"
        rows.append(Row("(g) ours", ours, "records/s", other.name, theirs, aim=theirs, more=True, note=note))
    return rows


def environment(package: str, *held: str) -> Path | None:
    """The interpreter of an environment with the package, made where it is missing; None where it can't be.

    `held` are requirements of what the package itself needs.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "askel-bench"
    home = cache / f"{package.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, timeout=120)
            subprocess.run(
                [str(python), "-m", "pip", "install", "-q", package, *held], check=True, timeout=300
            )
        except (OSError, subprocess.SubprocessError):
            return None
        ready.touch()
    return python


def _run(other: Other, python: Path, count: int) -> tuple[dict[str, float], int]:
    """(what the script told, 429s that the server counted)."""
    with account() as server:
        list_id = next(each["id"] for each in server.state()["lists"] if each["name"] == LIST)
        command = [
            str(python),
            str(HERE / other.script),
            server.url,
            server.key,
            other.how,
            str(count),
            list_id,
        ]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_S)
        result: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
        return result, throttled(server)[0]
