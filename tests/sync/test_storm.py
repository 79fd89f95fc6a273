"""A server that fails a fifth of all calls, in every way at once: all is written once, in order per profile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from askel_tui.klaviyo.http_limits import HttpLimits
from askel_tui.sandbox.state.faults import Fault
from tests.support.bad_days import WELCOME, assert_in_order, brisk, held, settled
from tests.support.workbench import Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

STORM: tuple[dict[str, Any], ...] = (
    {"status": 503},
    {"status": 500, "after": True},
    {"status": 403, "body": "html"},
    {"reset": True},
    {"lost": True},
    {"after": True, "body": "malformed"},
    {"status": 429, "body": "empty"},
)
SLOW: tuple[dict[str, Any], ...] = (
    {"status": 429, "retry_after": 1},
    {"status": 502},
    {"status": 504},
    {"after": True, "body": "empty"},
    {"delay": 1.0},
)
"""Faults that take their time: the last is no answer for longer than anybody waits."""

FAILING = 0.2
"""The share of calls that fail."""


def _storm(bench: Workbench, kinds: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """Faults that strike a fifth of the calls between them; each sees what those before it let through."""
    each = FAILING / len(kinds)
    faults = []
    for index, how in enumerate(kinds):
        left = 1 - index * each
        bench.fault("*", **how, probability=each / left, seed=index + 1)
        faults.append(bench.sandbox.world.faults.all[-1])
    return faults


def _upserts(bench: Workbench) -> Iterator[tuple[str, int]]:
    """(e-mail, points) of the upserts that were processed, single or in a job, as they came in."""
    for entry in bench.requests():
        if entry["body"] is None or entry["status"] == "reset":
            continue
        if entry["endpoint"] == "create_or_update_profile":
            rows = [entry["body"]["data"]]
        elif entry["endpoint"] == "bulk_import_profiles":
            rows = entry["body"]["data"]["attributes"]["profiles"]["data"]
        else:
            continue
        for row in rows:
            attributes = row["attributes"]
            if "Points" in attributes.get("properties", {}):
                yield attributes["email"], attributes["properties"]["Points"]


async def _weather(
    bench: Workbench, records: int, profiles: int, kinds: Sequence[Mapping[str, Any]] = STORM
) -> list[Fault]:
    """Sends the records through the storm and looks at how all of them ended; gives its faults."""
    await bench.apply(WELCOME)
    faults = _storm(bench, kinds)
    message = []
    for number in range(records):
        who = number % profiles
        message.append({**points(number, id=f"T-{who}", email=f"t{who}@mapleandember.example")})
    await bench.take(message)
    await bench.drain()
    assert sum(fault.struck for fault in faults) > bench.sandbox.world.logged_count * 0.1
    assert await bench.instance.journal.failures() == []
    assert await held(bench) == {}
    ended = await settled(bench)
    for step in ("tier", "welcome", "points"):
        assert ended[f"{step} written"] + ended[f"{step} unconfirmed"] == records
    sent = defaultdict(list)
    for email, value in _upserts(bench):
        sent[email].append(value)
    for email, values in sent.items():
        assert values == sorted(values), email
    there = {each["email"]: each["properties"].get("Points") for each in bench.state()["profiles"]}
    newest = {f"t{number % profiles}@mapleandember.example": number + 5 for number in range(records)}
    assert {email: there.get(email) for email in newest} == newest
    arrived = sorted(event["properties"]["Points"] for event in bench.events("First Points Earned"))
    assert arrived == [number + 5 for number in range(records)]
    assert len({*bench.on_list("Welcome Flow")} & set(sent)) == profiles
    await assert_in_order(bench)
    return faults


@pytest.mark.slow
async def test_a_fifth_of_all_calls_fails(either: Workbench) -> None:
    faults = await _weather(either, 150, 40)
    assert all(fault.struck for fault in faults)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_ten_thousand_records_through_a_storm(
    either: Workbench,
) -> None:
    """So many that they go in bulk; where that leaves few calls, not every fault has its turn."""
    either.instance.http_limits = HttpLimits(read_timeout_s=0.5)
    either.sandbox.world.change_settings({"log_limit": 100_000})
    faults = await _weather(either, 10_000, 2_500, (*STORM, *SLOW))
    assert sum(1 for fault in faults if fault.struck) > len(faults) / 2
    assert len(either.requests("bulk_import_profiles")) > 2
