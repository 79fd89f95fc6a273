"""The checks of queries and filters: which an endpoint takes and which it refuses (docs/klaviyo.md 7)."""

from __future__ import annotations

import pytest

from askel_tui.contract.endpoints import NEWEST, endpoint
from tests.support.queries import filter_problems, query_problems


@pytest.mark.parametrize(
    ("revision", "name", "query"),
    [
        (
            NEWEST,
            "get_profiles",
            {"page[size]": "100", "fields[profile]": "email,properties", "sort": "-updated"},
        ),
        (NEWEST, "get_profiles", {"additional-fields[profile]": "subscriptions", "page[cursor]": "abc"}),
        (NEWEST, "get_lists", {"page[size]": "10", "include": "flow-triggers"}),
        ("2024-02-15", "get_lists", {"fields[list]": "name", "filter": 'any(id,["Xyz123","Abc456"])'}),
        ("2024-02-15", "get_profile_ids_for_segment", {"page[size]": "100"}),
        (NEWEST, "get_flow", {"additional-fields[flow]": "definition"}),
    ],
)
def test_queries_that_are_taken(revision: str, name: str, query: dict[str, str]) -> None:
    assert query_problems(revision, name, query) == []


@pytest.mark.parametrize(
    ("revision", "name", "query", "part"),
    [
        ("2024-02-15", "get_lists", {"page[size]": "10"}, "takes none at this revision"),
        ("2024-02-15", "get_lists", {"sort": "name"}, "'name' is none of"),
        ("2024-02-15", "get_lists", {"include": "flow-triggers"}, "'flow-triggers' is none of"),
        ("2024-02-15", "get_profile_ids_for_segment", {"page[size]": "101"}, "not between 1 and 100"),
        (NEWEST, "get_metrics", {"page[size]": "10"}, "takes none"),
        (NEWEST, "get_profiles", {"page[size]": "0"}, "not between"),
        (NEWEST, "get_profiles", {"page[size]": "many"}, "not between"),
        (NEWEST, "get_profiles", {"fields[profile]": "email,shoe_size"}, "'shoe_size' is none of"),
        (NEWEST, "get_profiles", {"fields[list]": "name"}, "no such parameter"),
        (NEWEST, "get_lists", {"additional-fields[list]": "profile_count"}, "is none of none"),
        (NEWEST, "get_accounts", {"page[cursor]": "x"}, "has no cursor"),
        (NEWEST, "get_accounts", {"filter": 'equals(id,"x")'}, "takes none"),
    ],
)
def test_queries_that_are_refused(revision: str, name: str, query: dict[str, str], part: str) -> None:
    problems = query_problems(revision, name, query)
    assert len(problems) == 1
    assert part in problems[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("get_profiles", 'equals(email,"o\'neil@maple.example")'),
        ("get_profiles", "equals(email,'a\\'b@c.example')"),
        ("get_profiles", 'any(email,["a@b.example", "c,d@e.example"])'),
        ("get_profiles", "greater-than(updated,2026-11-23T00:00:00+00:00)"),
        (
            "get_events",
            'equals(profile_id,"01A"),equals(metric_id,"M"),greater-than(datetime,2026-11-23T00:00:00Z)',
        ),
        ("get_events", "has(profile)"),
        ("get_events", 'and(equals(profile_id,"01A"),equals(metric_id,"M"))'),
        ("get_flows", "equals(archived,false)"),
    ],
)
def test_filters_that_are_taken(name: str, text: str) -> None:
    assert filter_problems(endpoint(NEWEST, name), text) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('equals(first_name,"Wren")', "cannot be filtered by first_name"),
        ("greater-or-equal(updated,2026-11-23T00:00:00Z)", "'greater-or-equal' is not allowed for updated"),
        ('any(email,"a@b.example")', "no array"),
        ('equals(email,["a@b.example"])', "no single value"),
        ('any(email,["a@b.example"]', "no closing parenthesis"),
        ('equals(email,"a"b.example")', "no closing parenthesis"),
        ("equals(email)", "no value"),
        ('equals(email,"a@b.example");', "no comma"),
        ('equals(email,"a@b.example"),', "no operator"),
        ('and(equals(email,"a@b.example")', "no comma"),
        ("email", "no operator"),
        ("", "no operator"),
    ],
)
def test_filters_that_are_refused(text: str, part: str) -> None:
    problems = filter_problems(endpoint(NEWEST, "get_profiles"), text)
    assert len(problems) == 1
    assert part in problems[0]
