"""Figures, throughput, copies: the console's parts that need no screen."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.tui.screens.overview.throughput import BUCKET_COUNT, BUCKET_MS, Throughput
from askel_tui.tui.shell.progress import Progress
from askel_tui.tui.text.charts import bar, sparkline
from askel_tui.tui.text.curl import curl_command

pytestmark = pytest.mark.clock


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 60))
def test_a_bar_has_its_cells_and_shows_that_there_is_something(part: float, whole: float, cells: int) -> None:
    shown = bar(part, whole, cells)
    assert len(shown) == cells
    if whole > 0 and part > 0:
        assert shown[0] != "·"


@given(st.lists(st.floats(0, 1e9), max_size=80), st.integers(1, 40))
def test_a_sparkline_has_its_cells(values: list[float], cells: int) -> None:
    assert len(sparkline(values, cells)) == cells


def test_the_highest_value_is_the_highest_bar() -> None:
    assert sparkline([0, 1, 8], 3) == "▁▁█"


def test_throughput_is_what_the_counter_gained() -> None:
    found = Throughput()
    now = 1_000_000
    for step in range(BUCKET_COUNT + 1):
        found.add_reading("w", now + step * BUCKET_MS, step * 20)
    end = now + BUCKET_COUNT * BUCKET_MS
    assert found.rates("w", end) == pytest.approx([10.0] * BUCKET_COUNT)
    assert found.is_moving(end)
    assert not found.is_moving(end + 2 * BUCKET_COUNT * BUCKET_MS)
    assert found.rates("nobody", end) == [0.0] * BUCKET_COUNT


def test_a_counter_that_starts_again_is_no_loss() -> None:
    found = Throughput()
    found.add_reading("w", 1_000, 500)
    found.add_reading("w", 3_000, 2)
    assert not any(found.rates("w", 3_000))


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.dictionaries(st.text(), inner)
    )
)
def test_a_curl_command_is_the_request_to_a_shell(body: object) -> None:
    text = curl_command("POST", "/api/events/", body, "2026-07-15", "https://a.klaviyo.com")
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:4] == ["curl", "--request", "POST", "https://a.klaviyo.com/api/events/"]
    assert "Authorization: Klaviyo-API-Key $KLAVIYO_API_KEY" in words
    assert "revision: 2026-07-15" in words
    if body is not None:
        assert json.loads(words[words.index("--data-binary") + 1]) == body
    else:
        assert "--data-binary" not in words


def test_progress_says_count_rate_and_time_left() -> None:
    progress = Progress(started_at=100.0)
    assert progress.describe(103.0) == "3 s"
    progress.report(500, 2_000)
    assert progress.describe(105.0) == "500 of 2,000 · 100/s · 15 s left"
