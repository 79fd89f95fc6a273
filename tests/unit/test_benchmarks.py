"""Each benchmark runs at its small scale and gives numbers that can be numbers; what they say is for `make bench`."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.__main__ import BENCHMARKS, measured, table
from tests.benchmarks.common import Row, bound

SELF_CONTAINED = [name for name in BENCHMARKS if name != "g"]
"""(g) builds environments with other people's packages: it is for `make bench` alone."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SELF_CONTAINED)
async def test_it_measures_at_a_small_scale(name: str) -> None:
    rows, failed = await measured([name], quick=True)
    assert failed == []
    assert rows[name]
    for row in rows[name]:
        assert math.isfinite(row.value)
        assert row.value >= 0
        assert row.measured in table(rows)
    refused = [row for row in rows[name] if "429" in row.measured]
    assert all(row.value == 0 for row in refused)


def test_an_aim_is_met_at_its_edge() -> None:
    assert Row("a", 30, "s", aim=30).met
    assert not Row("a", 30.1, "s", aim=30).met
    assert Row("a", 30, "calls/s", aim=30, more=True).met
    assert not Row("a", 29.9, "calls/s", aim=30, more=True).met
    assert Row("a", 30, "s").met is None


def test_the_bound_is_what_the_windows_let_start() -> None:
    # 3,500 events a minute at 2024-02-15 (docs/klaviyo.md 5): the 3,501st starts in the second minute.
    assert bound("create_event", 3_500, "2024-02-15") == 9
    assert bound("create_event", 3_501, "2024-02-15") == 60
    assert bound("create_event", 10_000, "2024-02-15") == 120


def test_the_table_shows_value_reference_and_ratio() -> None:
    shown = table({"x": [Row("ours", 2.0, "s", "theirs", 4.0, aim=3)]}).splitlines()
    assert shown[1].split() == ["ours", "2", "s", "theirs", "4", "s", "0.50", "≤", "3", "met"]
