"""Workflows as they would be applied to a small account, for tests of planning and of what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from askel_tui.contract.endpoints import NEWEST
from askel_tui.core.catalog import Catalog, FlowEntry, FlowTrigger, ListEntry, MetricEntry, SegmentEntry
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.diff import ProfileState
from askel_tui.core.planning.plan import Plan, plan
from askel_tui.core.planning.rehearsal import Rehearsal, rehearse
from askel_tui.core.planning.simulated_account import SimulatedAccount
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.core.targets.pinning import pin_targets
from askel_tui.core.workflows.loader import load_workflow
from tests.support.files import EXAMPLES

CATALOG = Catalog(
    taken=0,
    account="MpEmbr",
    lists=(
        ListEntry("ListWe", "Welcome Flow"),
        ListEntry("ListNe", "Newsletter"),
        ListEntry("ListPr", "Promotions"),
    ),
    segments=(SegmentEntry("SegVip", "VIP"), SegmentEntry("SegLoy", "Loyal")),
    flows=(
        FlowEntry("FlowWe", "Welcome Series", "live", triggers=(FlowTrigger("list", "ListWe"),)),
        FlowEntry("FlowPo", "Points Thanks", "live", triggers=(FlowTrigger("metric", "MetPoi"),)),
    ),
    metrics=(MetricEntry("MetPoi", "First Points Earned"),),
)

NOW = 1_795_426_445_000
"""The time of the records, in milliseconds since 1970."""

EVERYONE = """\
profile:
  email: data.email
  phone_number: data.phone
  external_id: data.ref
"""

UPSERT = """\
- id: tier
  upsert_profile:
    first_name: data.name
    location: {city: data.city}
    properties:
      Tier: title(data.tier)
      Points: {value: data.points, clear: true}
"""
EVENT = """\
- id: points
  track_event:
    metric: First Points Earned
    value: data.points
    value_currency: data.currency
    time: data.at
    properties: {Tier: data.tier, Store: data.store}
"""
LIST = "- id: welcome\n  add_to_list: Welcome Flow\n"
ALL_KINDS = f"""\
{UPSERT}- id: vip
  require_segment: {{segment: VIP, member: true}}
{LIST}- id: leave
  remove_from_list: Promotions
{EVENT}- id: flow
  trigger_flow: Welcome Series
- id: fire
  trigger_flow: {{flow: Points Thanks, metric: First Points Earned}}
- id: opt-in
  subscribe: {{channels: [email], list: Newsletter, custom_source: Till}}
- id: opt-out
  unsubscribe: {{channels: [email]}}
"""
"""Every kind of step at least once."""


def applied(
    text: str, *, revision: str = NEWEST, version: int = 1, account: str = "MpEmbr", checked: bool = True
) -> AppliedWorkflow:
    """The workflow file as applied; `checked=False` leaves out what only that revision refuses."""
    workflow, problems = load_workflow(text)
    assert workflow is not None, [str(problem) for problem in problems]
    pinned = pin_targets(workflow, CATALOG, revision=revision if checked else None)
    assert not pinned.problems, [str(problem) for problem in pinned.problems]
    return AppliedWorkflow(workflow, version, account, revision, pinned.targets)


def of_steps(steps: str, *, when: str = "", profile: str = EVERYONE) -> str:
    """A workflow file for the event `happened` with these steps (a YAML list)."""
    condition = f"when: {when}\n" if when else ""
    head = f"workflow: tested\nconnection: maple-ember\ntrigger: happened\n{condition}{profile}"
    return f"{head}steps:\n{indent(steps, '  ')}"


def example(name: str, *, revision: str = NEWEST) -> AppliedWorkflow:
    """A workflow of the shared examples."""
    return applied((EXAMPLES / f"{name}.yaml").read_text(), revision=revision)


def happened(record_id: str = "r-1", event: str = "happened", **data: Any) -> Record:
    """A record with this data; its profile is ada@x.example unless `email` says otherwise."""
    return Record(record_id, event, "2026-11-23T09:14:05Z", {"email": "ada@x.example"} | data)


def planned(record: Record, of: AppliedWorkflow) -> Plan:
    """The plan of a record that the workflow takes up."""
    found = plan(record, of)
    assert found is not None
    return found


Facts = Mapping[tuple[str, Identity], bool | None]
"""Memberships by (segment id, identity); None where they could not be read."""


def rehearsed(record: Record, of: AppliedWorkflow, members: Facts) -> Rehearsal:
    """What would become of a record in an account that has the profiles whose memberships are known."""
    account = SimulatedAccount(now=NOW)
    account.add_profile(ProfileState("01", {"email": "ada@x.example"}))
    for number, identity in enumerate(dict.fromkeys(identity for _, identity in members)):
        account.add_profile(ProfileState(f"01{number}", dict(identity.identifiers())))
    for (segment, identity), member in members.items():
        account.add_member(segment, identity, member)
    return rehearse(planned(record, of), account)


def operations(record: Record, of: AppliedWorkflow) -> tuple[Operation, ...]:
    """The operations of a record that has no problems."""
    found = planned(record, of)
    assert not found.problems, [str(problem) for problem in found.problems]
    return found.operations


def problems(record: Record, of: AppliedWorkflow) -> list[tuple[str | None, str | None]]:
    """(step, field) of each problem of a record that has some, and therefore no operations."""
    found = planned(record, of)
    assert found.problems
    assert found.operations == ()
    return [(problem.step, problem.field) for problem in found.problems]
