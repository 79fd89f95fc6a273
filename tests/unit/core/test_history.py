"""History: whatever a workflow does and whatever fires the account's flows, nothing that is written starts one."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import SELECTABLE
from askel_tui.core.catalog import Catalog, FlowEntry, FlowTrigger, MetricEntry, SegmentEntry, StepTargets
from askel_tui.core.operations import Operation, Target
from askel_tui.core.planning.history import FlowStarts, History, flow_starts, plan_history, written_names
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.core.requests.packing import build_request
from askel_tui.core.workflows.loader import load_workflow

STEPS = {
    "who": "upsert_profile: {first_name: data.name, properties: {Tier: data.tier, Born: data.born}}",
    "join": "add_to_list: L",
    "leave": "remove_from_list: L",
    "happened": "track_event: {metric: M, value: data.value}",
    "gate": "require_segment: {segment: S, member: true}",
    "news": "subscribe: {channels: [email], list: L}",
    "fire": "trigger_flow: {flow: F, list: L}",
}
L, M, S = Target("list", "L1", "L"), Target("metric", "M1", "M"), Target("segment", "S1", "S")
TARGETS = {
    "join": StepTargets(L),
    "leave": StepTargets(L),
    "happened": StepTargets(M),
    "gate": StepTargets(S),
    "news": StepTargets(L),
    "fire": StepTargets(Target("flow", "F1", "F"), L),
}
RECORD = Record(
    "r",
    "point",
    "2025-03-01T10:00:00Z",
    {"email": "ada@mapleandember.example", "name": "Ada", "tier": "Gold", "born": "1990-01-01", "value": 1},
)

triggers = st.sampled_from(
    [
        None,
        (),
        (FlowTrigger("list", "L1"),),
        (FlowTrigger("metric", "M1"),),
        (FlowTrigger("segment", "S1"),),
        (FlowTrigger("segment", "gone"),),
        (FlowTrigger("date", property="Born"),),
        (FlowTrigger("date", property="properties['Born']"),),
        (FlowTrigger("list", "other"),),
    ]
)
conditions = st.sampled_from(
    [
        {"type": "profile-property", "property": "properties['Tier']", "filter": {"operator": "is-set"}},
        {"type": "profile-property", "property": "first_name", "filter": {"operator": "is-set"}},
        {"type": "profile-group-membership", "group_ids": ["L1"], "is_member": True},
        {"type": "profile-metric", "metric_id": "M1"},
        {"type": "profile-marketing-consent"},
        {"type": "something-new"},
    ]
)
flows = st.builds(
    FlowEntry,
    st.just("F1"),
    st.sampled_from(["F", "G"]),
    st.sampled_from(["live", "manual", "draft"]),
    st.booleans(),
    st.sampled_from(["Added to List", "Metric", "Date Based", None]),
    triggers,
)


@st.composite
def accounts(draw: st.DrawFn) -> Catalog:
    definition = {"condition_groups": [{"conditions": [draw(conditions)]}]}
    segment = SegmentEntry("S1", "S", definition=draw(st.sampled_from([definition, None])))
    unread = draw(st.sampled_from([(), (), ("flows",)]))
    found = () if unread else tuple(draw(st.lists(flows, max_size=3)))
    return Catalog(0, "", segments=(segment,), flows=found, metrics=(MetricEntry("M1", "M"),), unread=unread)


def _planned(steps: list[str], revision: str) -> tuple[AppliedWorkflow, tuple[Operation, ...]]:
    text = "askel: 2\nworkflow: w\nconnection: c\ntrigger: point\nprofile: {email: data.email}\nsteps:\n"
    text += "".join(f"  - id: {each}\n    {STEPS[each]}\n" for each in steps)
    workflow, problems = load_workflow(text, "w.yaml")
    assert workflow is not None, problems
    applied = AppliedWorkflow(
        workflow, 1, "A", revision, {each: TARGETS[each] for each in steps if each in TARGETS}
    )
    found = plan(RECORD, applied)
    assert found is not None
    assert not found.problems
    return applied, found.operations


def _can_start(operation: Operation, starts: FlowStarts, revision: str) -> list[str]:
    """What a flow could start by, as a request of it is read in the account."""
    if operation.is_gate:
        return []
    read = [flow for name in written_names(operation) for flow in starts.started_by(name)]
    body = build_request([operation], revision, {operation.id: "P1"}).body
    if b'"backfill":true' in body or b'"historical_import":true' in body:
        return read
    return read + starts.started_at_once(
        dataclasses.replace(operation, body={**operation.body, "historical": False})
    )


@given(
    st.lists(st.sampled_from(sorted(STEPS)), min_size=1, unique=True), accounts(), st.sampled_from(SELECTABLE)
)
def test_nothing_that_is_written_as_history_can_start_a_flow(
    steps: list[str], account: Catalog, revision: str
) -> None:
    applied, operations = _planned(steps, revision)
    starts = flow_starts(account)
    planned = plan(RECORD, applied)
    assert planned is not None
    rule = History.decode(History(starts, 5).encode())
    assert (rule.covers(5), rule.covers(6)) == (True, False)
    made = plan_history(planned, rule.starts, RECORD.time, revision)
    for each in made.operations:
        assert _can_start(each, starts, revision) == []
        if each.call == Call.BULK_SUBSCRIBE_PROFILES:
            assert (each.body["consented_at"], each.body["proof"]) == (RECORD.time, RECORD.time)
    # Whatever is missing is accounted for, and what could start nothing is all there.
    kept, aside = {each.step for each in made.operations}, {each.step for each in made.warnings}
    assert {each.step for each in operations if not each.is_gate} - kept <= aside | {
        each.step for each in operations if not written_names(each)
    }
    if not any(starts.started(each) for each in operations) and dialect(revision).has_historical_consent:
        assert [each.id for each in made.operations] == [
            each.id for each in operations[: len(made.operations)]
        ]
        assert not aside
