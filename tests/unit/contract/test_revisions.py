"""Revisions as dates: status, retirement, what serves a retired one, what each can."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.caps import caps, standard_attributes
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import endpoint, endpoints, published_endpoints
from askel_tui.contract.revisions import (
    NEWEST,
    RELEASES,
    REVISIONS,
    SINCE,
    Ability,
    RevisionStatus,
    binding_revisions,
    can,
    days_left,
    deprecated_on,
    describe,
    judging_revisions,
    released_on,
    resolved_revision,
    retired_on,
    serving_revision,
    status,
)

DAYS = st.dates(date(2024, 1, 1), date(2032, 12, 31))
RELEASED = st.sampled_from(sorted(RELEASES))


def test_the_revisions_of_the_contract_data_are_held_and_the_newest_is_the_last_release() -> None:
    assert REVISIONS == ("2024-02-15", "2025-01-15", "2026-07-15", "2026-10-15")
    assert max(RELEASES) == NEWEST == "2026-10-15"
    assert list(RELEASES) == sorted(RELEASES)
    for revision in REVISIONS:
        assert published_endpoints(revision)


@pytest.mark.parametrize(
    ("revision", "day", "words"),
    [
        ("2026-10-15", "2026-12-01", "stable until 2027-10-15"),
        ("2026-10-15", "2027-10-15", "deprecated, retires on 2028-10-15: 366 days left"),
        ("2025-01-15", "2027-01-14", "deprecated, retires on 2027-01-15: 1 day left"),
        ("2024-02-15", "2026-02-14", "deprecated, retires on 2026-02-15: 1 day left"),
        ("2024-02-15", "2026-12-01", "retired, served as 2025-01-15"),
        (
            "2024-02-15",
            "2027-01-16",
            "retired, served as 2025-04-15, whose rules are not at hand: "  # noqa: ISC004
            "judged by 2025-01-15's and 2026-07-15's both",
        ),
        ("2025-01-15", "2028-05-01", "retired, served as 2026-07-15"),
        (
            "2026-10-15",
            "2029-01-01",
            "retired, served by a revision newer than this Askel knows",
        ),
    ],
)
def test_words_of_a_revision_on_a_day(revision: str, day: str, words: str) -> None:
    assert describe(revision, date.fromisoformat(day)) == words


@given(RELEASED, DAYS)
def test_a_revision_is_a_year_stable_a_year_deprecated_then_served_by_one_that_is_not_retired(
    revision: str, today: date
) -> None:
    found = status(revision, today)
    assert (
        (found is RevisionStatus.RETIRED)
        == (days_left(revision, today) <= 0)
        == (today >= retired_on(revision))
    )
    assert (found is RevisionStatus.STABLE) == (today < deprecated_on(revision))
    serving = serving_revision(revision, today)
    if found is not RevisionStatus.RETIRED:
        assert serving == revision
    else:
        older = [one for one in RELEASES if one < serving]
        assert all(status(one, today) is RevisionStatus.RETIRED for one in older)
        assert status(serving, today) is not RevisionStatus.RETIRED or serving == NEWEST
    assert found.value in describe(revision, today)


@given(RELEASED, DAYS, st.integers(0, 900))
def test_what_serves_a_revision_never_goes_back(revision: str, today: date, further: int) -> None:
    later = today + timedelta(days=further)
    assert serving_revision(revision, today) <= serving_revision(revision, later)
    order = list(RevisionStatus)
    assert order.index(status(revision, today)) <= order.index(status(revision, later))


@given(st.dates(date(2023, 1, 1), date(2030, 1, 1)))
def test_a_date_between_two_revisions_means_the_earlier(day: date) -> None:
    found = resolved_revision(day.isoformat())
    assert found in RELEASES
    assert not [one for one in RELEASES if found < one <= day.isoformat()]


@given(RELEASED)
def test_rules_that_are_not_at_hand_are_the_neighbours(revision: str) -> None:
    judges = judging_revisions(revision)
    assert judges
    assert set(judges) <= set(REVISIONS)
    if revision in REVISIONS:
        assert judges == (revision,)
    else:
        assert all(one < revision for one in judges[:-1])
        assert not [one for one in REVISIONS if judges[0] < one < judges[-1]]
    assert judging_revisions("2025-04-15") == ("2025-01-15", "2026-07-15")


def test_a_request_keeps_to_what_will_serve_it_while_the_newest_is_stable() -> None:
    assert binding_revisions("2024-02-15") == ("2024-02-15", "2025-01-15", "2026-07-15")
    assert binding_revisions("2025-01-15") == ("2025-01-15", "2026-07-15")
    assert binding_revisions("2026-07-15") == ("2026-07-15",)
    assert binding_revisions(NEWEST) == (NEWEST,)


@given(st.sampled_from(REVISIONS), st.integers(0, 365))
def test_no_day_brings_rules_that_a_request_does_not_keep_to(revision: str, further: int) -> None:
    today = released_on(NEWEST) + timedelta(days=further)
    assert set(judging_revisions(serving_revision(revision, today))) <= set(binding_revisions(revision))


@given(st.sampled_from(list(Ability)), st.dates(date(2024, 1, 1), date(2040, 1, 1)))
def test_what_one_revision_can_all_later_ones_can(ability: Ability, day: date) -> None:
    assert can(day.isoformat(), ability) == (day >= SINCE[ability])
    assert can("2039-01-15", ability)


def test_abilities_reach_bodies_and_caps_at_every_revision() -> None:
    for older, newer in pairwise(REVISIONS):
        before, after = dialect(older), dialect(newer)
        assert set(before.subscribe_channels) <= set(after.subscribe_channels)
        assert before.has_backfill <= after.has_backfill
        assert before.has_historical_consent <= after.has_historical_consent
        assert standard_attributes(older) <= standard_attributes(newer)
        assert caps(older).event_properties <= caps(newer).event_properties
        assert set(endpoints(older)) <= set(endpoints(newer))
    assert dialect(NEWEST).has_backfill
    assert dialect(NEWEST).subscribe_channels == ("email", "sms", "whatsapp", "push")
    assert endpoint(NEWEST, "bulk_create_events").max_items == 1000


def test_a_leap_day_retires_on_the_first_of_march() -> None:
    assert (deprecated_on("2028-02-29"), retired_on("2028-02-29")) == (date(2029, 3, 1), date(2030, 3, 1))
