"""A hundred times kill -9, at random moments of a mixed load that keeps coming: in the end all is exactly right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from askel_tui.contract.endpoints import NEWEST
from tests.support.homes import prepare, read_end, release, take
from tests.support.mixed_load import WORKFLOWS, MixedLoad
from tests.support.processes import children
from tests.support.revisions import OLDEST_AND_NEWEST
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell, kill
from tests.support.workbench import example

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CHUNKS = 10
KILLS = 10
"""Per chunk: a hundred in all."""
BACKFILL = 1_100
"""Records that come at once, every few lives: enough for both bulk lanes."""
LIVE = 12
"""Records that come while the daemon runs, in every life."""
SINGLE, BULK = {"create_or_update_profile", "create_event"}, {"bulk_import_profiles", "bulk_create_events"}
CONSENT = "bulk_subscribe_profiles"


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with sandbox_process(arguments=("--no-limits", "--job-time", "0.3")) as one:
        yield one


def _seen(sandbox: SandboxProcess) -> int:
    return int(sandbox.control("GET", "requests?limit=0")["last"])


def _one_life(shell: Shell, sandbox: SandboxProcess, load: MixedLoad, chance: random.Random) -> bool:
    """Starts the daemon, gives it live records, and kills it; False where it had ended before."""
    start, after = _seen(sandbox), chance.choice((1, 2, 3, 5, 8, 13, 30, 80, 200))
    daemon = shell.start("daemon", "--until-idle", ASKEL_BUDGETS="off")
    try:
        take(shell, load.live(LIVE))
        while daemon.poll() is None:
            if _seen(sandbox) - start >= after:
                helpers = children(daemon.pid)
                if helpers and chance.random() < 0.3:
                    # One that helps dies first: of its own, or with the daemon a moment later.
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(helpers), signal.SIGKILL)
                return _runs_on(daemon, chance.uniform(0, 0.04))
            _runs_on(daemon, 0.002)
        return False
    finally:
        kill(daemon)


def _runs_on(daemon: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the daemon still runs after a moment."""
    try:
        daemon.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _to_the_end(shell: Shell) -> None:
    """Runs until nothing is left; a person releases what is held."""
    for _ in range(3):
        shell.run("daemon", "--until-idle", code=None, timeout=100, ASKEL_BUDGETS="off")
        if not read_end(shell).holds:
            return
        release(shell)
    raise AssertionError(f"still held: {read_end(shell).holds}")


def _writes(log: list[dict[str, Any]], *calls: str) -> Counter[str]:
    """How often each write was answered well, by its body."""
    return Counter(
        json.dumps(entry["body"], sort_keys=True)
        for entry in log
        if entry["endpoint"] in calls and entry["status"] in (200, 201, 202)
    )


def _opt_ins(log: list[dict[str, Any]]) -> Counter[str]:
    """How often consent was written, by e-mail."""
    return Counter(
        row["attributes"]["email"]
        for entry in log
        if entry["endpoint"] == CONSENT and entry["status"] == 202
        for row in entry["body"]["data"]["attributes"]["profiles"]["data"]
    )


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_end_is_exactly_right(sandbox: SandboxProcess, tmp_path: Path, chunk: int) -> None:
    revision = OLDEST_AND_NEWEST[chunk % len(OLDEST_AND_NEWEST)]
    chance, load = random.Random(f"kills {chunk}"), MixedLoad(chunk)
    sandbox.control("POST", "profiles", {"profiles": load.profiles()})
    sandbox.control("PATCH", "settings", _reading_of_repeats(chunk))
    shell = Shell(tmp_path / "home", sandbox.url, sandbox.key)
    prepare(shell, [example(f"{name}.yaml").read_text() for name in WORKFLOWS], revision=revision)
    since = _seen(sandbox)
    # Answers take a moment, so that requests are under way when the kill comes.
    for call in (*SINGLE, "bulk_create_events", CONSENT):
        sandbox.control("POST", "faults", {"endpoint": call, "delay": 0.03})
    kills = lives = 0
    while kills < KILLS:
        assert lives < 3 * KILLS, "the daemon ends before it can be killed"
        if lives % 4 == 0:
            take(shell, load.backfill(BACKFILL))
        if lives == KILLS // 2:
            sandbox.control("DELETE", "lists/Promotions")
        if lives % 4 == 3:
            release(shell, cause="in_doubt")
        kills += _one_life(shell, sandbox, load, chance)
        lives += 1
    sandbox.control("POST", "lists/Promotions/restore")
    sandbox.control("DELETE", "faults")
    _to_the_end(shell)

    ended = read_end(shell)
    assert (ended.broken, ended.requests_in_doubt, ended.holds) == (None, 0, {})
    assert ended.failures == len(load.failing)
    load.assert_accounted(ended.entries)
    load.assert_effects(sandbox.state())
    log = sandbox.control("GET", f"requests?after={since}")["requests"]
    assert _opt_ins(log) == Counter(load.opted_in)
    assert max(_writes(log, *SINGLE, *BULK).values()) > 1, "nothing was ever in doubt"
    used = {entry["endpoint"] for entry in log}
    assert used > (SINGLE | BULK if revision == NEWEST else SINGLE)


def _reading_of_repeats(chunk: int) -> Mapping[str, str]:
    """Both readings of what Klaviyo does with an event that a bulk call repeats."""
    return {
        "bulk_repeat": ("refuse", "discard")[chunk // 2 % 2],
        "bulk_repeat_scope": ("call", "stored")[chunk // 4 % 2],
    }
