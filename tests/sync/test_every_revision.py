"""At each revision: every kind of step is written, singly and in bulk, and every request is one that it allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from askel_tui.contract.revisions import NEWEST, REVISIONS
from askel_tui.core.exit_codes import AskelError
from tests.support.sandbox import running
from tests.support.thinning import first_only
from tests.support.workbench import NAME, Workbench, points, workbench

SINGLE, BACKLOG = 3, 60
WORKFLOW = f"""
askel: 2
workflow: all
connection: {NAME}
trigger: first_points_earned
profile: {{email: data.shopper.email, external_id: data.shopper.id}}
steps:
  - id: tier
    upsert_profile:
      first_name: data.shopper.name
      location: {{city: data.shopper.city}}
      properties: {{LoyaltyTier: title(data.shopper.tier)}}
  - id: gate
    require_segment: {{segment: VIP, member: false}}
  - id: leave
    remove_from_list: Promotions
  - id: points
    track_event: {{metric: First Points Earned, value: data.points}}
  - id: flow
    trigger_flow: Welcome Series
  - id: out
    unsubscribe: {{channels: [email]}}
"""


@pytest_asyncio.fixture(params=REVISIONS)
async def at_each(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workbench]:
    """A connected instance at each revision whose rules are at hand, on a day of 2026."""
    monkeypatch.setenv("ASKEL_BUDGETS", "off")
    settings: dict[str, Any] = {"today": "2026-12-01"}
    async with (
        running(**settings) as sandbox,
        workbench(tmp_path, sandbox, monkeypatch, revision=request.param) as one,
    ):
        one.set_limits(max_single_backlog_s=1)
        yield one
        one.assert_valid_requests()


async def test_every_kind_of_step_is_written_and_every_request_is_valid(at_each: Workbench) -> None:
    revision = at_each.instance.state.connection(NAME).revision
    await at_each.apply(WORKFLOW)
    for first, count in ((0, SINGLE), (SINGLE, BACKLOG)):
        people = range(first, first + count)
        await at_each.take(points(number, name="Wren", city="Leeds") for number in people)
        await at_each.drain()
    emails = sorted(f"t{number}@mapleandember.example" for number in range(SINGLE + BACKLOG))
    assert at_each.on_list("Welcome Flow") == emails
    assert sorted(each["email"] for each in at_each.events("First Points Earned")) == emails
    assert at_each.profile(emails[0])["properties"] == {"LoyaltyTier": "Gold"}
    assert await at_each.instance.journal.failures() == []
    assert await at_each.instance.journal.holds() == []
    calls = {each["endpoint"] for each in at_each.requests()}
    assert ("bulk_create_events" in calls) == (revision >= "2024-05-15")
    sent = at_each.requests(after=at_each.requests_since)
    assert {each["revision"] for each in sent if each["method"] != "GET"} == {revision}
    assert {each["revision"] for each in sent} <= {revision, NEWEST}


@pytest.mark.parametrize("at_each", first_only(REVISIONS), indirect=True)
async def test_what_fires_a_flow_is_read_whatever_revision_is_pinned(at_each: Workbench) -> None:
    wrong = WORKFLOW.replace(
        "trigger_flow: Welcome Series", "trigger_flow: {flow: Welcome Series, list: Newsletter}"
    )
    with pytest.raises(AskelError, match="is fired by the list 'Welcome Flow', not by this"):
        await at_each.apply(wrong)
    revision = at_each.instance.state.connection(NAME).revision
    linked = [each for each in at_each.requests() if "flow-triggers" in each["query"].get("include", "")]
    assert {each["revision"] for each in linked} == {NEWEST if revision < "2024-10-15" else revision}


@pytest.mark.parametrize("at_each", first_only(REVISIONS), indirect=True)
async def test_a_flow_that_something_else_fires_holds_its_step_whatever_revision_is_pinned(
    at_each: Workbench,
) -> None:
    await at_each.apply(WORKFLOW)
    at_each.sandbox.account.flows["MeFWel"].trigger = {"type": "list", "id": "MeNews"}
    await at_each.take([points(1, name="Wren", city="Leeds")])
    await at_each.drain()
    (hold,) = await at_each.instance.journal.holds()
    assert (hold.step, hold.cause) == ("flow", "trigger_moved")
    assert at_each.on_list("Welcome Flow") == []
