"""Dates and times as people and scripts give them."""

from __future__ import annotations

import click
import pytest

from askel_tui.cli.times import TimeParam, rfc3339

pytestmark = pytest.mark.clock


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
