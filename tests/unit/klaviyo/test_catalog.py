"""Reading a sandbox account's catalog, at both revisions, with and without scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from askel_tui.core.catalog import Catalog, FlowTrigger
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import NotInAccount, Unavailable
from askel_tui.klaviyo.reads.catalog import read_catalog, read_flow_triggers
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.sandbox.state.faults import Fault

READS = ("profiles:read", "lists:read", "segments:read", "flows:read", "metrics:read", "templates:read")


async def test_everything_is_read_to_its_last_page(client: Client, sandbox: RunningSandbox) -> None:
    catalog = await read_catalog(client)
    account = sandbox.account
    assert catalog.account == "A"
    assert {each.id: each.name for each in catalog.lists} == {
        each.id: each.name for each in account.lists.values()
    }
    assert len(catalog.lists) > 10
    assert {each.id for each in catalog.segments} == set(account.segments)
    assert {each.id for each in catalog.templates} == set(account.templates)
    assert len(catalog.templates) > 10
    assert {each.id for each in catalog.metrics} == set(account.metrics)
    assert {each.id for each in catalog.flows} == set(account.flows)
    assert catalog.unread == ()
    assert Catalog.from_dict(catalog.as_dict()) == catalog
    sms = next(each for each in catalog.lists if each.name == "SMS Club")
    assert sms.opt_in_process == "double_opt_in"
    assert all(each.definition for each in catalog.segments)
    made_by = {each.name: each.integration for each in catalog.metrics}
    assert made_by["First Points Earned"] == "api"
    assert made_by["Placed Order"] == "shopify"


async def test_the_triggers_of_a_flow_are_read_whatever_the_pinned_revision_shows(client: Client) -> None:
    flows = {each.name: each for each in (await read_catalog(client)).flows}
    assert flows["Welcome Series"].status == "live"
    assert flows["Spring 2025"].archived
    triggers = {name: flow.triggers for name, flow in flows.items()}
    assert triggers["Welcome Series"] == (FlowTrigger("list", "MeWelc"),)
    assert triggers["First Points Thanks"] == (FlowTrigger("metric", "MeMFst"),)
    assert triggers["VIP Gift"] == (FlowTrigger("segment", "MeVip1"),)


async def test_a_flows_own_definition_tells_of_filters(client: Client, sandbox: RunningSandbox) -> None:
    sandbox.account.flows["MeFPts"].trigger = {
        "type": "metric",
        "id": "MeMFst",
        "trigger_filter": {"condition_groups": [{"conditions": []}]},
    }
    read = await read_flow_triggers(client, "MeFPts")
    assert read == (FlowTrigger("metric", "MeMFst", filtered=True),)
    assert await read_flow_triggers(client, "MeFWel") == (FlowTrigger("list", "MeWelc"),)
    with pytest.raises(NotInAccount):
        await read_flow_triggers(client, "NoFlow")


@pytest.mark.parametrize("lacking", READS)
async def test_a_missing_scope_sinks_no_other_section(
    client_with: Callable[..., Client], lacking: str
) -> None:
    catalog = await read_catalog(client_with(*(scope for scope in READS if scope != lacking)))
    section = {"profiles:read": "properties"}.get(lacking, lacking.removesuffix(":read"))
    assert catalog.unread == (section,)
    sizes = {
        name: len(getattr(catalog, name)) for name in ("lists", "segments", "flows", "metrics", "templates")
    }
    assert {name for name, size in sizes.items() if not size} == ({section} - {"properties"})
    welcome = next((each for each in catalog.flows if each.name == "Welcome Series"), None)
    if welcome and lacking == "lists:read":
        assert welcome.triggers is None, "without the lists nobody knows"


async def test_only_the_asked_sections_are_read(client: Client, sent: list[Any]) -> None:
    catalog = await read_catalog(client, sections=("lists",))
    assert {path.rstrip("/") for _, path, _ in sent} == {"/api/lists"}
    assert catalog.lists
    assert catalog.unread == ()


async def test_trouble_is_not_taken_for_emptiness(client: Client, sandbox: RunningSandbox) -> None:
    sandbox.world.faults.all.append(Fault("get_segments", status=503))
    with pytest.raises(Unavailable):
        await read_catalog(client)
