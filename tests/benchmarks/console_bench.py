"""Measures the console: the tail over a million entries, and what a start costs in a real terminal.

python -m tests.benchmarks.console_bench [--rows 1000000] [--home DIR] [--only tail|start]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.audit_filler import fill
from tests.benchmarks.common import Row
from tests.benchmarks.console_starts import PEERS, measure_starts

ROWS = 1_000_000
SIZE = (140, 50)
PAGES = 60
FOLLOW_S = 10.0
FILTERS = {
    "connection": "connection:north-star",
    "workflow": "workflow:vip-gift",
    "step": "step:tier",
    "result": "result:failed",
    "text, found": "shopper249",
    "text, rare": "shopper7777@",
    "text, nothing": "no-such-word",
}
TARGETS: dict[str, float] = {
    "first rows ms": 100,
    "page p95 ms": 16,
    "follow cpu %": 20,
    "follow lag p99 ms": 20,
    "memory over the app MB": 60,
    "first paint s": 0.6,
    "idle cpu %": 0.3,
    "idle bytes": 0,
    "start memory MB": 60,
    "help s": 0.15,
    **{f"filter {name} ms": 400 if name.startswith("text") else 150 for name in FILTERS},
}
FIRST_COLUMNS = ("first paint s", "first screen s")
"""What is to be at most the others' of the same run."""


def memory() -> float:
    """This process' resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def tail(home: Path, rows: int) -> dict[str, float]:
    """Measures the Live screen over a filled home."""
    # As `askel_tui.tui.run` does.
    os.environ.update(TEXTUAL_ANIMATIONS="none", TEXTUAL_FPS="120")
    from askel_tui.tui.app import AskelApp
    from askel_tui.tui.screens.live.tail import Tail

    found: dict[str, float] = {}
    app: Any = AskelApp(home=home, first="overview")
    sent_as_well(app)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(2.0)
        before = memory()
        began = time.perf_counter()
        app.action_show("live")
        await until(lambda: app.sent[1] and all_there(app, rows))
        found["first rows ms"] = since(began)
        tail = app.screen.query_one(Tail)
        await pilot.pause(1.5)
        times = []
        for _ in range(PAGES):
            await pilot.pause(0.02)
            lines = tail.painted_lines
            began = time.perf_counter()
            tail.action_page(-1)
            await until(partial(more_painted, app, lines))
            times.append(since(began))
        found["page median ms"] = statistics.median(times)
        found["page p95 ms"] = statistics.quantiles(times, n=20)[-1]
        for name, text in FILTERS.items():
            found[f"filter {name} ms"] = await filtered(app, text)
        await filtered(app, "")
        found["memory over the app MB"] = memory() - before
        found |= await followed(app, home, rows)
        found["memory, following, over the app MB"] = memory() - before
    return found


def sent_as_well(app: Any) -> None:
    """Makes what a terminal would be sent, which Textual leaves out where there is none.

    `app.sent` is the tail's source, and how many lines it had made, when last it was sent with all its rows there.
    """
    from textual._compositor import CompositorUpdate

    from askel_tui.tui.screens.live.tail import Tail

    display = app._display
    app.sent = (None, 0)

    def displayed(screen: Any, update: Any) -> None:
        display(screen, update)
        if isinstance(update, CompositorUpdate) and not app._batch_count:
            update.render_segments(app.console)
            if all_there(app):
                tail = app.screen.query_one(Tail)
                app.sent = (tail.rows, tail.painted_lines)

    app._display = displayed


async def filtered(app: Any, text: str) -> float:
    """Milliseconds from a filter's last key until its first rows, or that there are none, are painted."""
    from askel_tui.tui.screens.live.tail import Tail
    from askel_tui.tui.widgets.filter_bar import FilterBar

    tail = app.screen.query_one(Tail)
    before = tail.rows
    began = time.perf_counter()
    app.screen.query_one(FilterBar).set_text(text)
    await until(lambda: tail.rows is not before and app.sent[0] is tail.rows)
    took = since(began)
    await until(lambda: getattr(tail.rows, "complete", True))
    await asyncio.sleep(0.3)
    return took


async def followed(app: Any, home: Path, rows: int) -> dict[str, float]:
    """Follows a process that writes 1,000 entries a second."""
    from askel_tui.tui.screens.live.tail import Tail

    tail = app.screen.query_one(Tail)
    tail.follow = True
    await asyncio.sleep(1)
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.audit_filler", str(home)
    )
    await until(lambda: tail.rows.count > rows, 20)
    lags: list[float] = []
    first, began, cpu = tail.rows.count, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < FOLLOW_S:
        asleep = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append((time.perf_counter() - asleep - 0.01) * 1000)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    came = tail.rows.count - first
    writer.terminate()
    await writer.wait()
    return {
        "follow rows/s": came / seconds,
        "follow cpu %": used / seconds * 100,
        "follow lag p50 ms": statistics.median(lags),
        "follow lag p99 ms": statistics.quantiles(lags, n=100)[-1],
        "follow lag max ms": max(lags),
    }


def more_painted(app: Any, lines: int) -> bool:
    """Whether the terminal was sent a tail with all its lines there, some made since there were so many."""
    return bool(app.sent[1] > lines)


def all_there(app: Any, rows: int = 0) -> bool:
    """Whether the tail has so many rows, and its screen is full of those that are there, or no more will come."""
    from askel_tui.tui.screens.live.tail import Tail

    for tail in app.screen.query(Tail):
        top = tail.scroll_offset.y
        last = min(top + tail.size.height, tail.rows.count)
        whole = last - top >= tail.size.height or getattr(tail.rows, "complete", True)
        there = all(tail.rows.row(line) is not None for line in range(top, last))
        return whole and there and tail.rows.count >= rows
    return False


async def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Lets the loop run until something is true."""
    end = time.perf_counter() + seconds
    while not true():
        if time.perf_counter() > end:
            raise TimeoutError("the console did not get there")
        await asyncio.sleep(0.0005)


def since(began: float) -> float:
    """Milliseconds since."""
    return (time.perf_counter() - began) * 1000


async def measure(quick: bool) -> list[Row]:
    """The rows of `make bench`: the tail over a million entries (quick: 50,000), and starts in a terminal."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["ASKEL_HOME"] = home
        found = await tail(Path(home), await asyncio.to_thread(fill, Path(home), 50_000 if quick else ROWS))
    found |= await asyncio.to_thread(measure_starts, quick)
    rows = []
    for name, value in found.items():
        if ": " in name:
            continue
        words, _, unit = name.rpartition(" ")
        rows.append(Row(f"console: {words}", value, unit, aim=TARGETS.get(name)))
        for peer in (each.name for each in PEERS):
            if (theirs := found.get(f"{peer}: {name}")) is not None:
                aim = theirs if name in FIRST_COLUMNS else None
                rows.append(Row(f"console: {words}", value, unit, peer, theirs, aim=aim))
    return rows


def main() -> None:
    """Prints what was measured beside the targets, and as JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--home", type=Path, help="a filled home to use, or an empty directory to fill")
    parser.add_argument("--only", choices=("tail", "start"))
    given = parser.parse_args()
    found: dict[str, float] = {}
    if given.only != "start":
        with tempfile.TemporaryDirectory() as temporary:
            home = given.home or Path(temporary)
            os.environ["ASKEL_HOME"] = str(home)
            rows = fill(home, given.rows)
            found |= asyncio.run(tail(home, rows))
    if given.only != "tail":
        found |= measure_starts()
    for name, value in found.items():
        target = TARGETS.get(name)
        message = (
            "" if target is None else f"  (at most {target:g}: {'holds' if value <= target else 'MISSED'})"
        )
        print(f"{name:<36} {value:>10.2f}{message}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
