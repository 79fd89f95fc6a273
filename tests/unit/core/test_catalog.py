"""Catalogs and pinning: targets are found, or reported as missing, ambiguous or not allowed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from askel_tui.core.catalog import (
    Catalog,
    FlowEntry,
    FlowTrigger,
    ListEntry,
    MetricEntry,
    PropertyEntry,
    SegmentEntry,
    StepTargets,
    TemplateEntry,
)
from askel_tui.core.operations import Target
from askel_tui.core.targets.pinning import Pinned, pin_targets
from askel_tui.core.workflows.loader import load_workflow
from tests.support.files import EXAMPLES

WELCOME = Target("list", "L1", "Welcome Flow")
CATALOG = Catalog(
    taken=1_795_425_245_000,
    account="MpEmbr",
    lists=(
        ListEntry("L1", "Welcome Flow", "single_opt_in", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ListEntry("L2", "Newsletter"),
        ListEntry("L3", "Twins"),
        ListEntry("L4", "Twins"),
        ListEntry("L5", "L2"),
    ),
    segments=(
        SegmentEntry("S1", "VIP", definition={"a": [1]}),
        SegmentEntry("S2", "Sleeping", is_active=False),
    ),
    flows=(
        FlowEntry("F1", "Welcome Series", "live", triggers=(FlowTrigger("list", "L1"),)),
        FlowEntry("F2", "Points", "live", triggers=(FlowTrigger("metric", "M1", filtered=True),)),
        FlowEntry("F3", "Bought", "live", triggers=(FlowTrigger("metric", "M2"),)),
        FlowEntry("F4", "Birthday", "draft", triggers=(FlowTrigger("date"),)),
        FlowEntry("F5", "Drafted", "draft", triggers=(FlowTrigger("list", "L1"),)),
        FlowEntry("F6", "Filed", "live", archived=True, triggers=(FlowTrigger("list", "L1"),)),
        FlowEntry("F7", "New", "draft", triggers=()),
        FlowEntry("F8", "Orphan", "live", triggers=(FlowTrigger("list", "L9"),)),
        FlowEntry("F9", "Lost", "live", triggers=(FlowTrigger("metric", "M9"),)),
        FlowEntry("O1", "Old list", "live", trigger_type="Added to List"),
        FlowEntry("O2", "Old metric", "live", trigger_type="Metric"),
        FlowEntry("O3", "Old date", "live", trigger_type="Date Based"),
        FlowEntry("O4", "Old unknown", "live", trigger_type="Unconfigured"),
    ),
    metrics=(
        MetricEntry("M1", "First Points Earned", "api"),
        MetricEntry("M2", "Placed Order", "shopify"),
        MetricEntry("M3", "Viewed", "shopify"),
        MetricEntry("M4", "Viewed", "API"),
    ),
    templates=(TemplateEntry("T1", "Hello", "CODE"),),
    properties=(PropertyEntry("LoyaltyTier", {"text": 3}, 3, 5, ("Gold",)),),
)


def pinned(
    step: str, catalog: Catalog = CATALOG, *, only: tuple[str, ...] = (), revision: str | None = None
) -> Pinned:
    text = (
        "workflow: w\nconnection: c\ntrigger: e\nprofile: {email: data.e, phone_number: data.p}\n"
        f"steps:\n  - id: s\n    {step}\n"
    )
    workflow, problems = load_workflow(text)
    assert workflow is not None, problems
    return pin_targets(workflow, catalog, file="w.yaml", only_lists=only, revision=revision)


def target(step: str, catalog: Catalog = CATALOG, *, only: tuple[str, ...] = ()) -> StepTargets:
    found = pinned(step, catalog, only=only)
    assert found.problems == []
    return found.targets["s"]


def problem(
    step: str, catalog: Catalog = CATALOG, *, only: tuple[str, ...] = (), revision: str | None = None
) -> str:
    found = pinned(step, catalog, only=only, revision=revision)
    assert len(found.problems) == 1
    assert found.problems[0].file == "w.yaml"
    assert found.problems[0].line == 7
    return str(found.problems[0]).removeprefix("w.yaml:7: step s, ")


def warning(step: str) -> str:
    found = pinned(step)
    assert found.problems == []
    assert len(found.warnings) == 1
    return str(found.warnings[0]).removeprefix("w.yaml:7: step s, ")


def test_a_catalog_survives_json() -> None:
    assert Catalog.from_dict(json.loads(json.dumps(CATALOG.as_dict()))) == CATALOG
    unread = replace(CATALOG, unread=("metrics",), flows=(FlowEntry("F", "F", "live"),))
    assert Catalog.from_dict(json.loads(json.dumps(unread.as_dict()))) == unread


@pytest.mark.parametrize("through", [None, WELCOME])
def test_pinned_targets_survive_json(through: Target | None) -> None:
    targets = StepTargets(Target("metric", None, "M"), through)
    assert StepTargets.from_dict(json.loads(json.dumps(targets.as_dict()))) == targets


def test_the_unknown_list_of_the_examples_is_reported_with_the_one_meant() -> None:
    text = (EXAMPLES / "refused" / "unknown-list.yaml").read_text()
    workflow, _ = load_workflow(text)
    assert workflow is not None
    found = pin_targets(workflow, CATALOG, file="unknown-list.yaml")
    (expected,) = found.problems
    assert str(expected) == (
        "unknown-list.yaml:7: step welcome, add_to_list: the account has no list 'Welcom Flow'. "
        "Did you mean 'Welcome Flow'?"
    )
    assert found.targets == {}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("add_to_list: Welcome Flow", WELCOME),
        ("remove_from_list: L1", WELCOME),
        ("subscribe: {channels: email, list: Newsletter}", Target("list", "L2", "Newsletter")),
        ("unsubscribe: {channels: email, list: Newsletter}", Target("list", "L2", "Newsletter")),
        ("require_segment: {segment: VIP, member: true}", Target("segment", "S1", "VIP")),
        ("track_event: {metric: First Points Earned}", Target("metric", "M1", "First Points Earned")),
        ("track_event: {metric: M1}", Target("metric", "M1", "First Points Earned")),
        ("track_event: {metric: Never Seen}", Target("metric", None, "Never Seen")),
        ("track_event: {metric: Viewed}", Target("metric", "M4", "Viewed")),
    ],
)
def test_targets_are_found_by_name_and_by_id(step: str, expected: Target) -> None:
    assert target(step) == StepTargets(expected)


def test_an_id_wins_over_a_name() -> None:
    assert target("add_to_list: L2").target == Target("list", "L2", "Newsletter")


@pytest.mark.parametrize("step", ["upsert_profile: {title: data.t}", "subscribe: {channels: email}"])
def test_a_step_that_names_nothing_has_no_target(step: str) -> None:
    assert pinned(step) == Pinned()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("add_to_list: welcome flow", "the account has no list 'welcome flow'. Did you mean 'Welcome Flow'?"),
        ("add_to_list: Twins", "2 lists are named 'Twins' (L3, L4): write the id instead"),
        ("require_segment: {segment: VIPs, member: true}", "segment: the account has no segment 'VIPs'"),
        ("trigger_flow: Welcome Serie", "flow: the account has no flow 'Welcome Serie'"),
        ("trigger_flow: Birthday", "the flow 'Birthday' is fired by its date, which nobody can do from here"),
        ("trigger_flow: New", "has no trigger yet"),
        ("trigger_flow: Orphan", "the list that fires the flow 'Orphan' (L9) is gone"),
        ("trigger_flow: Lost", "the metric that fires the flow 'Lost' (M9) is gone"),
        (
            "trigger_flow: {flow: Welcome Series, list: Newsletter}",
            "is fired by the list 'Welcome Flow', not by this",
        ),
        (
            "trigger_flow: {flow: Welcome Series, metric: M1}",
            "is fired by the list 'Welcome Flow', not by this",
        ),
        ("trigger_flow: Old list", "name its list, {flow: Old list, list: …}"),
        ("trigger_flow: Old metric", "name its metric, {flow: Old metric, metric: …}"),
        ("trigger_flow: Old unknown", "name its list or metric, {flow: Old unknown, list: …}"),
        ("trigger_flow: {flow: Old list, metric: M1}", "is fired by a list, so name that"),
        ("trigger_flow: {flow: Old date, list: L1}", "is fired by its date based, which nobody"),
        (
            "trigger_flow: {flow: Old metric, metric: First Point Earned}",
            "Did you mean 'First Points Earned'?",
        ),
        ("trigger_flow: {flow: Old list, list: Nowhere}", "list: the account has no list 'Nowhere'"),
    ],
)
def test_what_can_not_be_pinned_is_a_problem(step: str, expected: str) -> None:
    assert expected in problem(step)


@pytest.mark.parametrize(
    ("step", "through"),
    [
        ("trigger_flow: Welcome Series", WELCOME),
        ("trigger_flow: F1", WELCOME),
        ("trigger_flow: {flow: Welcome Series, list: Welcome Flow}", WELCOME),
        ("trigger_flow: {flow: Points, metric: M1}", Target("metric", "M1", "First Points Earned")),
        ("trigger_flow: {flow: Old list, list: Welcome Flow}", WELCOME),
        ("trigger_flow: {flow: Old unknown, list: L1}", WELCOME),
        (
            "trigger_flow: {flow: Old metric, metric: First Points Earned}",
            Target("metric", "M1", "First Points Earned"),
        ),
    ],
)
def test_a_flow_is_fired_through_its_list_or_metric(step: str, through: Target) -> None:
    found = target(step)
    assert found.target.type == "flow"
    assert found.through == through


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("trigger_flow: Points", "flow: the trigger of the flow 'Points' has a filter"),
        ("trigger_flow: Bought", "waits for shopify's metric 'Placed Order'"),
        ("trigger_flow: Drafted", "is draft, not live"),
        ("trigger_flow: Filed", "is archived"),
        ("trigger_flow: {flow: Old metric, metric: Placed Order}", "shopify's, not one that the API makes"),
        ("track_event: {metric: Placed Order}", "shopify's, not one that the API makes"),
        ("require_segment: {segment: Sleeping, member: true}", "is inactive"),
    ],
)
def test_what_may_come_to_nothing_is_a_warning(step: str, expected: str) -> None:
    assert expected in warning(step)


@pytest.mark.parametrize(
    "step",
    [
        "add_to_list: Welcome Flow",
        "remove_from_list: L1",
        "subscribe: {channels: email, list: Welcome Flow}",
        "unsubscribe: {channels: email, list: Welcome Flow}",
        "trigger_flow: Welcome Series",
        "trigger_flow: {flow: Old list, list: Welcome Flow}",
    ],
)
def test_only_the_lists_that_the_connection_may_touch_are_pinned(step: str) -> None:
    assert "may touch only Newsletter, L3, and the list 'Welcome Flow' is none of them" in problem(
        step, only=("Newsletter", "L3")
    )
    for allowed in ("L1", "Welcome Flow"):
        found = target(step, only=(allowed,))
        assert WELCOME in (found.target, found.through)


def test_sections_that_the_key_may_not_read_are_said_to_be_unread() -> None:
    catalog = replace(CATALOG, lists=(), metrics=(), unread=("lists", "metrics"))
    assert "it needs lists:read" in problem("add_to_list: Welcome Flow", catalog)
    assert "metrics:read is missing" in problem("trigger_flow: Points", catalog)
    assert target("track_event: {metric: First Points Earned}", catalog).target.id is None
    assert target("trigger_flow: {flow: Old metric, metric: X}", catalog).through == Target(
        "metric", None, "X"
    )


@pytest.mark.parametrize(
    ("step", "revision", "expected"),
    [
        ("upsert_profile: {locale: data.l}", "2024-02-15", "locale: no standard attribute"),
        (
            "subscribe: {channels: [email, whatsapp]}",
            "2024-02-15",
            "channels: revision 2024-02-15 takes no whatsapp",
        ),
        (
            "unsubscribe: {channels: [email, push]}",
            "2026-07-15",
            "channels: revision 2026-07-15 takes no push",
        ),
        (
            "subscribe: {channels: email, historical: true, consented_at: data.at}",
            "2024-02-15",
            "historical: revision 2024-02-15 can't",
        ),
        ("subscribe: {channels: email, consented_at: data.at}", "2026-07-15", "only with `historical: true`"),
    ],
)
def test_what_the_revision_does_not_have_is_a_problem(step: str, revision: str, expected: str) -> None:
    assert expected in problem(step, revision=revision)
    assert pinned(step).problems == []
