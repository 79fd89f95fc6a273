"""Dates and times as people and scripts give them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.cli.times import TimeParam, ago, epoch_ms, rfc3339, rfc3339_of_ms


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("2026-01-01T09:00:00Z", "2026-01-01T09:00:00Z"),
        ("2026-01-01T09:00:00+02:00", "2026-01-01T07:00:00Z"),
        ("2026-01-01T09:00:00.250Z", "2026-01-01T09:00:00.250Z"),
    ],
)
def test_a_date_or_a_time_becomes_rfc_3339_in_utc(given: str, meant: str) -> None:
    assert rfc3339(TimeParam().convert(given, None, None)) == meant


def test_a_date_as_an_end_means_all_of_it() -> None:
    assert rfc3339(TimeParam(end=True).convert("2026-01-01", None, None)) == "2026-01-01T23:59:59.999Z"


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "2026", "20260101", "2026-13-01", "2026-01-01T09:00:00", "0001-01-01T00:00:00+23:00"],
)
def test_what_is_not_clear_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        TimeParam().convert(text, None, None)


@given(st.integers(0, 4_000_000_000_000))
def test_milliseconds_come_back_from_their_stamp(ms: int) -> None:
    assert epoch_ms(datetime.fromisoformat(rfc3339_of_ms(ms)).astimezone(UTC)) == ms


def test_how_long_ago() -> None:
    assert [ago(0, ms) for ms in (500, 59_000, 60_000, 7_200_000, 200_000_000)] == [
        "0 s ago",
        "59 s ago",
        "1 min ago",
        "2 h ago",
        "2 d ago",
    ]
