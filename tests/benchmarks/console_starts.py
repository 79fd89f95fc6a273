"""What a start of the console costs in a real terminal, against posting, harlequin and toolong in turns.

Each of them has an environment of its own, made as in `others.py`; what can't be had is left out, with a word. First
paint is when the first text of any kind is on the terminal; first screen, when a text is that shows an app ready to
be used.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.others import environment
from tests.benchmarks.terminal import Start, measure_start

TIMES = 5
IDLE_S = 5.0
LOG_LINES = 100_000
OURS = [sys.executable, "-m", "askel_tui"]


@dataclass(frozen=True)
class Peer:
    """Another app: its package, its command, and a text of its first screen."""

    name: str
    package: str
    command: tuple[str, ...]
    marker: str
    held: tuple[str, ...] = ()
    """Requirements of what the package itself needs."""


PEERS = (
    # The tree-sitter that pip would take, 0.26, crashes it.
    Peer("posting", "posting==2.11.1", ("posting",), "Jump", ("tree-sitter<0.26",)),
    Peer("harlequin", "harlequin==2.17.0", ("harlequin",), "Query Editor"),
    Peer("toolong", "toolong==1.5.0", ("tl", "{log}"), "Tail"),
)


def measure_starts(quick: bool = False) -> dict[str, float]:
    """Medians of five by name; what is of another app is named `APP: WHAT UNIT`. Memory of ours is that at rest."""
    times = 1 if quick else TIMES
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        ours = {"ASKEL_HOME": str(home / "askel"), "ASKEL_VAULT_KEY": "bench"}
        theirs = _peers(home)
        starts: list[Start] = []
        helps: list[float] = []
        others: dict[str, list[Start]] = {peer.name: [] for peer, _, _ in theirs}
        for _ in range(times):
            # In turns, so that what else the machine does meets all of them.
            starts.append(measure_start(OURS, "Nothing is connected yet", ours, idle_s=IDLE_S))
            helps.append(_help([*OURS, "--help"], ours))
            for peer, command, variables in theirs:
                others[peer.name].append(measure_start(command, peer.marker, variables))
    found = _medians(starts) | {
        "idle cpu %": statistics.median(each.idle_cpu for each in starts),
        "idle bytes": max(each.idle_bytes for each in starts),
        "help s": statistics.median(helps),
    }
    for name, each in others.items():
        found |= {f"{name}: {what}": value for what, value in _medians(each).items()}
    return found


def _medians(starts: list[Start]) -> dict[str, float]:
    return {
        "first paint s": statistics.median(each.paint_s for each in starts),
        "first screen s": statistics.median(each.marker_s for each in starts),
        "start memory MB": statistics.median(each.memory_mb for each in starts),
    }


def _peers(home: Path) -> list[tuple[Peer, list[str], dict[str, str]]]:
    """Those that can be had: (which, its command, its environment, which keeps the user's own files out)."""
    log = home / "some.log"
    log.write_text("".join(f"2026-11-23T09:00:00Z line {number}\n" for number in range(LOG_LINES)), "utf-8")
    found = []
    for peer in PEERS:
        python = environment(peer.package, *peer.held)
        if python is None:
            print(f"{peer.name}: {peer.package} can't be had here, left out", file=sys.stderr)
            continue
        own = home / peer.name
        own.mkdir()
        variables = {"HOME": str(own)} | {
            f"XDG_{name}_HOME": str(own / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")
        }
        first, *rest = (part.format(log=log) for part in peer.command)
        found.append((peer, [str(python.parent / first), *rest], variables))
    return found


def _help(command: list[str], variables: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
