"""Reconciling reads events back: found by their unique id or their second; what can't be checked is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from askel_tui.sandbox.handlers import resources
from askel_tui.services import connections
from askel_tui.services.reconciling.reconcile import Reconciliation, reconcile
from askel_tui.sync.instance import now_ms
from tests.support.bad_days import WELCOME, brisk
from tests.support.workbench import ACTOR, NAME, Workbench, points

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")


async def sent(bench: Workbench, *emails: str) -> None:
    await bench.apply(WELCOME)
    await bench.take(
        {**points(number), "data": {"points": number, "shopper": {"email": email}}}
        for number, email in enumerate(emails)
    )
    await bench.drain()


def numbers(found: Reconciliation) -> tuple[int, int, int, int]:
    return found.events, found.events_found, found.events_missing, sum(found.events_unchecked.values())


@pytest.mark.parametrize("shows_ids", [True, False])
async def test_an_event_that_the_account_does_not_show_is_missing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, shows_ids: bool
) -> None:
    if not shows_ids:
        shown = resources.event
        monkeypatch.setattr(resources, "event", lambda ctx, event: _without_id(shown(ctx, event)))
    await sent(bench, "a@mapleandember.example", "b@mapleandember.example")
    bench.set_clock(lambda: now_ms() + 120_000)
    assert numbers(await reconcile(bench.instance, "welcome", 10)) == (2, 2, 0, 0)
    account = bench.sandbox.account
    held = next(iter(account.events_of_profile.values()))
    [gone] = held
    held.clear()
    found = await reconcile(bench.instance, "welcome", 10)
    assert numbers(found) == (2, 1, 1, 0)
    [row] = found.rows
    assert (row.field, row.outcome) == ("event First Points Earned", "missing")
    held.append(replace(gone, unique_id="another", time=gone.time + 7) if not shows_ids else gone)
    assert numbers(await reconcile(bench.instance, "welcome", 10)) == (
        (2, 1, 1, 0) if not shows_ids else (2, 2, 0, 0)
    )


def _without_id(event: dict[str, object]) -> dict[str, object]:
    attributes = dict(event["attributes"])  # type: ignore[call-overload]
    properties = {name: each for name, each in attributes["event_properties"].items() if name != "$event_id"}
    return {**event, "attributes": {**attributes, "event_properties": properties}}


async def test_what_can_not_be_checked_is_said_and_not_called_missing(bench: Workbench) -> None:
    await sent(bench, "a@mapleandember.example", "b@example.com")
    held = bench.sandbox.account.events_of_profile
    next(iter(held.values())).clear()
    found = await reconcile(bench.instance, "welcome", 10)
    assert numbers(found) == (2, 0, 0, 2)
    assert set(found.events_unchecked) == {
        "Klaviyo keeps no events of example.com",
        "sent within the last minute: it may not show yet",
    }
    bench.set_clock(lambda: now_ms() + 120_000)
    world = bench.sandbox.world
    granted = "accounts:read profiles:read profiles:write lists:read lists:write events:write"
    scopes = frozenset(granted.split())
    world.add_key("pk_sandbox_reads_no_events", "MpEmbr", scopes)
    await connections.rotate(bench.instance, NAME, "pk_sandbox_reads_no_events", ACTOR)
    bench.requests_since = bench.sandbox.world.logged_count
    found = await reconcile(bench.instance, "welcome", 10)
    assert found.events_unchecked["the key lacks events:read"] == 1
    assert found.events_missing == 0
