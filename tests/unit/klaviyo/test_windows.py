"""Window counters: never more calls in a window of the server than it allows, wherever it begins."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.endpoints import Window
from askel_tui.klaviyo.rate_limits.windows import WindowCounter
from tests.support.examples import examples

pytestmark = pytest.mark.clock

windows = st.lists(
    st.builds(Window, st.integers(1, 6), st.sampled_from([1, 5, 20])),
    min_size=1,
    max_size=3,
    unique_by=lambda window: window.seconds,
)
moments = st.floats(0, 1, allow_nan=False)


@examples(300)
@given(
    limits=windows,
    phases=st.lists(moments, min_size=3, max_size=3),
    calls=st.lists(st.tuples(st.floats(0, 0.7), st.floats(0, 8), moments), max_size=80),
    drift=st.floats(-0.0004, 0.0004),
)
def test_never_over_the_servers_windows(
    limits: list[Window], phases: list[float], calls: list[tuple[float, float, float]], drift: float
) -> None:
    """Calls take as long as they like and arrive at any moment of that; the server's clock drifts."""
    counter = WindowCounter(limits)
    now = 0.0
    under_way: list[float] = []
    counted: list[Counter[int]] = [Counter() for _ in limits]
    for pause, latency, arrival in calls:
        now += pause
        while under_way and under_way[0] <= now:
            counter.release(heapq.heappop(under_way))
        while not counter.take(now):
            wait = counter.seconds_until_free(now)
            later = now + wait if wait is not None else float("inf")
            if under_way and under_way[0] <= later:
                now = heapq.heappop(under_way)
                counter.release(now)
            else:
                assert later > now, "a wait leads on"
                now = later
        heapq.heappush(under_way, now + latency)
        at_server = (now + latency * arrival) * (1 + drift)
        for count, window, phase in zip(counted, limits, phases, strict=False):
            number = int((at_server + phase * window.seconds) // window.seconds)
            count[number] += 1
            assert count[number] <= window.limit


@given(limits=windows, calls=st.integers(1, 40))
def test_calls_that_take_no_time_use_all_slots(limits: list[Window], calls: int) -> None:
    """A burst goes at once, and the wait is exact: taking succeeds then and not before."""
    counter = WindowCounter(limits)
    now = 0.0
    at_once = 0
    while counter.take(now):
        counter.release(now)
        at_once += 1
    assert at_once == min(window.limit for window in limits)
    for _ in range(calls):
        wait = counter.seconds_until_free(now)
        assert wait is not None
        assert wait > 0
        assert not counter.take(now + wait * 0.99)
        now += wait + 1e-9
        assert counter.take(now)
        counter.release(now)
        while counter.take(now):
            counter.release(now)


def test_room_that_depends_on_an_answer_has_no_time() -> None:
    counter = WindowCounter([Window(2, 1)])
    assert counter.take(0)
    assert counter.take(0)
    assert counter.seconds_until_free(100) is None
    counter.release(100)
    assert counter.seconds_until_free(100) == pytest.approx(1, rel=0.01)


def test_limits_only_become_smaller() -> None:
    counter = WindowCounter([Window(75, 1), Window(750, 60)])
    counter.tighten([Window(75, 1), Window(700, 60), Window(150, 86400)])
    counter.tighten([Window(750, 60)])
    assert list(counter.limits()) == [Window(75, 1), Window(700, 60), Window(150, 86400)]


@given(st.lists(st.floats(0, 100), max_size=30))
def test_calls_may_be_remembered_in_any_order(times: list[float]) -> None:
    counter = WindowCounter([Window(1000, 10)])
    for time in times:
        counter.record_answered(time)
    assert counter.count(10, 100.0) == sum(1 for time in times if time > 100 - 10 * 1.0005)
