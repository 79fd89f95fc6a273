"""Endpoints of the data file, against the specification, docs/klaviyo.md, and other revisions."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.endpoints import (
    NEWEST,
    REVISIONS,
    SELECTABLE,
    Extra,
    NotInRevision,
    Window,
    endpoint,
    endpoints,
    published_endpoints,
)
from askel_tui.contract.revisions import binding_revisions
from tests.support.files import ROOT
from tests.support.openapi import recognise
from tests.support.schemas import operation

BURST = 1
MINUTE = 60
DAY = 86400


@pytest.mark.parametrize(
    ("revision", "name", "method", "path"),
    [
        ("2024-02-15", "create_or_update_profile", "POST", "/api/profile-import/"),
        ("2026-07-15", "create_or_update_profile", "POST", "/api/profile-import"),
        ("2024-02-15", "add_profiles_to_list", "POST", "/api/lists/{id}/relationships/profiles/"),
        ("2026-07-15", "remove_profiles_from_list", "DELETE", "/api/lists/{id}/relationships/profiles"),
        ("2026-07-15", "bulk_create_events", "POST", "/api/event-bulk-create-jobs"),
        ("2026-07-15", "get_bulk_import_profiles_job", "GET", "/api/profile-bulk-import-jobs/{job_id}"),
    ],
)
def test_an_endpoint_has_its_name_of_the_newest_revision_and_its_own_path(
    revision: str, name: str, method: str, path: str
) -> None:
    found = endpoint(revision, name)
    assert (found.name, found.method, found.path) == (name, method, path)


@pytest.mark.parametrize(
    ("revision", "name", "items", "size", "item_size"),
    [
        # docs/klaviyo.md 3.4
        ("2024-02-15", "bulk_import_profiles", 10_000, 5_000_000, 100_000),
        ("2026-07-15", "bulk_import_profiles", 10_000, 5_000_000, 100_000),
        ("2024-02-15", "create_or_update_profile", None, 100_000, None),
        ("2026-07-15", "create_or_update_profile", None, 100_000, None),
        ("2024-02-15", "add_profiles_to_list", 1000, None, None),
        ("2026-07-15", "remove_profiles_from_list", 1000, None, None),
        ("2024-02-15", "bulk_subscribe_profiles", 100, None, None),
        ("2025-01-15", "bulk_subscribe_profiles", 1000, None, None),
        ("2026-07-15", "bulk_subscribe_profiles", 1000, None, None),
        ("2026-07-15", "bulk_unsubscribe_profiles", 100, None, None),
        ("2024-02-15", "bulk_suppress_profiles", 100, None, None),
        ("2026-07-15", "bulk_create_events", 1000, 5_000_000, None),
        ("2026-07-15", "create_event", None, 5_000_000, None),
        ("2026-07-15", "merge_profiles", 1, None, None),
    ],
)
def test_limits_of_a_call(
    revision: str, name: str, items: int | None, size: int | None, item_size: int | None
) -> None:
    found = endpoint(revision, name)
    assert (found.max_items, found.max_bytes, found.max_item_bytes) == (items, size, item_size)


def test_windows_come_shortest_first_with_the_day_where_there_is_one() -> None:
    assert endpoint("2024-02-15", "get_profiles").windows == (Window(75, BURST), Window(700, MINUTE))
    assert endpoint("2026-07-15", "get_profiles").windows == (Window(75, BURST), Window(750, MINUTE))
    assert endpoint("2026-07-15", "create_list").windows[2] == Window(150, DAY)


def test_extra_budgets_name_the_parameter_as_callers_write_it() -> None:
    tight = (Window(1, BURST), Window(15, MINUTE))
    assert endpoint(NEWEST, "get_list").extras == (Extra("additional-fields[list]", "profile_count", tight),)
    assert {(one.parameter, one.value) for one in endpoint(NEWEST, "get_profile").extras} == {
        ("include", "lists"),
        ("include", "segments"),
    }


def test_pages() -> None:
    old, new = endpoint("2024-02-15", "get_lists"), endpoint("2026-07-15", "get_lists")
    assert (old.page_default, old.page_max, old.page_size_allowed, old.cursor) == (10, 10, False, True)
    assert (new.page_default, new.page_max, new.page_size_allowed, new.cursor) == (10, 10, True, True)
    metrics = endpoint(NEWEST, "get_metrics")
    assert (metrics.page_default, metrics.page_size_allowed) == (200, False)
    assert endpoint(NEWEST, "get_events").page_max == 1000
    assert endpoint(NEWEST, "get_segment_ids_for_profile").page_max is None


def test_a_retired_revision_keeps_to_the_limits_of_those_that_serve_it() -> None:
    assert published_endpoints("2024-02-15")["get_profile_ids_for_list"].page_max == 1000
    assert endpoint("2024-02-15", "get_profile_ids_for_list").page_max == 100
    assert len(published_endpoints("2024-02-15")["create_list"].windows) == 2
    assert endpoint("2024-02-15", "create_list").windows[2] == Window(150, DAY)
    assert published_endpoints("2024-02-15")["get_profile"].extras == ()
    assert len(endpoint("2024-02-15", "get_profile").extras) == 2


@pytest.mark.parametrize(
    ("revision", "name"), [(revision, name) for revision in REVISIONS for name in sorted(endpoints(revision))]
)
def test_what_a_revision_allows_all_rules_allow_that_will_serve_it(revision: str, name: str) -> None:
    used = endpoint(revision, name)
    for rules in (published_endpoints(each)[name] for each in binding_revisions(revision)):
        for key in ("max_items", "max_bytes", "max_item_bytes", "page_max"):
            limit = getattr(rules, key)
            assert limit is None or getattr(used, key) <= limit
        for window in rules.windows:
            assert any(one.seconds == window.seconds and one.limit <= window.limit for one in used.windows)
        assert set(used.sort) <= set(rules.sort)
        assert set(used.include) <= set(rules.include)
        assert set(used.scopes) >= set(rules.scopes)
        for field, operators in used.filters.items():
            assert set(operators) <= set(rules.filters[field])


def test_what_a_revision_lacks_is_reported_with_the_first_that_has_it() -> None:
    with pytest.raises(NotInRevision, match="exists from 2024-05-15 on") as caught:
        endpoint("2024-02-15", "bulk_create_events")
    assert isinstance(caught.value, LookupError)
    assert (caught.value.name, caught.value.first_seen) == ("bulk_create_events", "2024-05-15")
    with pytest.raises(NotInRevision, match="no revision knows that name"):
        endpoint(NEWEST, "get_everything")
    with pytest.raises(LookupError, match=r"no revision 2023-01-01; it holds 2024-02-15"):
        endpoint("2023-01-01", "get_lists")


def test_the_newest_revision_has_every_name() -> None:
    for revision in REVISIONS:
        assert set(endpoints(revision)) <= set(endpoints(NEWEST))
    assert set(SELECTABLE) <= set(REVISIONS)
    assert len(endpoints("2024-02-15")) == 66
    assert len(endpoints(NEWEST)) == 97


@given(st.text(min_size=1), st.sampled_from(REVISIONS), st.sampled_from(["get_list", "add_profiles_to_list"]))
def test_ids_are_encoded_so_that_they_stay_one_part_of_the_path(id_: str, revision: str, name: str) -> None:
    id_ = id_.encode("utf-8", "replace").decode()
    at = endpoint(revision, name)
    path = at.url_path(id=id_)
    assert path.isascii()
    assert path.count("/") == at.path.count("/")
    assert recognise(revision, at.method, path) == (name, {"id": id_})


def test_a_path_without_its_id_is_refused() -> None:
    with pytest.raises(KeyError, match="job_id"):
        endpoint(NEWEST, "get_bulk_import_profiles_job").url_path(id="x")


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_data_agrees_with_the_specification(revision: str) -> None:
    described = 0
    for at in published_endpoints(revision).values():
        specified = operation(revision, at.path, at.method)
        if specified is None:
            continue
        described += 1
        limits = specified["x-klaviyo-ratelimit"]
        assert at.windows[0] == Window(int(limits["burst"].split("/")[0]), BURST), at.name
        assert at.windows[1] == Window(int(limits["steady"].split("/")[0]), MINUTE), at.name
        assert str(at.success[0]) in specified["responses"], at.name
        media = specified.get("requestBody", {}).get("content", {})
        assert at.content_type == next(iter(media), None), at.name
        names = {
            one["name"]: one["schema"] for one in specified.get("parameters", ()) if one["in"] == "query"
        }
        assert at.cursor == ("page[cursor]" in names), at.name
        assert at.page_size_allowed == ("page[size]" in names), at.name
        assert at.page_size_allowed is False or at.page_max == names["page[size]"]["maximum"], at.name
        assert bool(at.filters) == ("filter" in names), at.name
        assert set(at.sort) == set(names.get("sort", {}).get("enum", ())), at.name
        assert set(at.include) == set(names.get("include", {}).get("items", {}).get("enum", ())), at.name
    assert described >= 64


def test_importing_reads_no_data_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import askel_tui.contract.endpoints, askel_tui.contract.caps, askel_tui.contract.dialects\n"
        "assert not [name for name in opened if name.endswith('operations.json')], opened\n"
        "heavy = {'httpx', 'aiohttp', 'pydantic', 'asyncio', 'importlib.resources'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "askel_tui.contract.endpoints.endpoint('2026-07-15', 'get_lists')\n"
        "assert [name for name in opened if name.endswith('operations.json')], opened\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_the_data_may_know_more_revisions_than_may_be_pinned() -> None:
    """Data of a newer revision may ship before the code speaks it; what may be pinned is always known."""
    text = (ROOT / "askel_tui" / "contract" / "data" / "operations.json").read_text(encoding="utf-8")
    known = set(json.loads(text)) - {"first_seen"}
    assert set(SELECTABLE) <= set(REVISIONS) <= known
    for revision in known - set(REVISIONS):
        with pytest.raises(LookupError, match=revision):
            published_endpoints(revision)
