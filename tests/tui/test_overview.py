"""Overview: what runs, waits and is held, and the keys that act on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from askel_tui.core.hold_causes import Cause, hold_cause
from askel_tui.services.status import (
    BudgetStatus,
    ConnectionStatus,
    DaemonStatus,
    HoldStatus,
    Status,
    WorkflowStatus,
)
from askel_tui.store.journal.notice_rows import Notice
from askel_tui.store.journal.rows import Hold
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import Instance
from askel_tui.tui.backend import queries, services
from askel_tui.tui.backend.access import reads
from askel_tui.tui.widgets.table import Table
from tests.support.workbench import example, points
from tests.tui.conftest import THEMES, assert_picture, assert_snapshot, ready, text_of, toasts, until
from tests.tui.keys import press

pytestmark = pytest.mark.clock

NOW = 1_764_000_000_000
SIZES = [(60, 20), (80, 24), (120, 36), (200, 50)]

STATUS = Status(
    DaemonStatus(running=True, pid=1),
    (
        ConnectionStatus("maple-ember", "MpEmbr", "2026-07-15", "connected"),
        ConnectionStatus("north-star", None, "2024-02-15", "key_refused"),
    ),
    (
        WorkflowStatus("first-points-welcome", "maple-ember", 2, 3, "active", 0, 1_204, 40, 3, 98_765),
        WorkflowStatus("nightly-[bold]sync[/]\x1b[2J", "north-star", 1, 1, "paused", 0, 0, 0, 0, 12),
    ),
    (
        HoldStatus(
            "first-points-welcome",
            "welcome",
            "target_gone",
            "the list Welcome Flow is gone",
            NOW - 900_000,
            waiting=40,
        ),
    ),
    budgets=(
        BudgetStatus("MpEmbr", "create_or_update_profile", 60, limit=750, used=700),
        BudgetStatus("MpEmbr", "add_profiles_to_list", 60, limit=150, used=12),
    ),
)
NOTICES = [
    Notice(
        1,
        NOW - 900_000,
        "maple-ember",
        "w",
        "s",
        "hold",
        "Step welcome is held: the list \u202eWelcome\u202c Flow is gone.",
    )
]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status that is the same on every machine."""

    @reads
    async def status(_: Instance) -> Status:
        return STATUS

    @reads
    async def notices(_: Instance, after: int) -> list[Notice]:
        return NOTICES if after == 0 else []

    @reads
    async def now(_: Instance) -> int:
        return NOW

    @reads
    async def running(_: Instance) -> bool:
        return True

    monkeypatch.setattr(services, "read_status", status)
    monkeypatch.setattr(queries, "notices", notices)
    monkeypatch.setattr(queries, "now", now)
    monkeypatch.setattr(queries, "daemon_running", running)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_looks_like_this(alone: Any, fixed: None, size: tuple[int, int]) -> None:
    async with alone(size=size) as (app, _):
        assert_snapshot(text_of(app), f"overview-{size[0]}x{size[1]}")


@pytest.mark.parametrize("causes", [list(Cause)[:8], list(Cause)[8:16], list(Cause)[16:]])
async def test_every_cause_of_a_hold_is_shown_in_words(
    alone: Any, fixed: None, monkeypatch: pytest.MonkeyPatch, causes: list[Cause]
) -> None:
    @reads
    async def status(_: Instance) -> Status:
        held = tuple(HoldStatus("welcome", cause.name, cause, "", NOW, 1) for cause in causes)
        return replace(STATUS, holds=held)

    monkeypatch.setattr(services, "read_status", status)
    async with alone(size=(200, 50)) as (app, _):
        shown = text_of(app)
        for cause in causes:
            assert f"! {hold_cause(cause).short}" in shown
            assert cause.value not in shown or "_" not in cause.value


@pytest.mark.parametrize("theme", THEMES)
async def test_it_looks_like_this_in_every_theme(alone: Any, fixed: None, theme: str) -> None:
    async with alone(size=(80, 24)) as (app, pilot):
        app.theme = theme
        await pilot.pause()
        assert_picture(app, f"overview-{theme}")


@pytest.mark.parametrize("size", [(60, 20), (80, 24)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_a_new_home_says_how_to_begin(alone: Any, size: tuple[int, int]) -> None:
    async with alone(size=size) as (app, _):
        assert_snapshot(text_of(app), f"overview-empty-{size[0]}x{size[1]}")


async def prepared(bench: Any) -> None:
    await bench.apply(example("first-points-welcome.yaml"))
    hold = Hold("maple-ember", "first-points-welcome", 1, "welcome", "target_gone", "the list is gone", 1)
    await bench.instance.journal.add_hold(hold, bench.instance.clock())


async def test_p_pauses_and_resumes(console: Any) -> None:
    async with console(prepare=prepared) as (app, pilot, bench):
        await pilot.press("p")
        await until(pilot, lambda: "‖ paused" in text_of(app))
        assert (await bench.instance.workflow_state("first-points-welcome")).status == "paused"
        await pilot.press("p")
        await until(pilot, lambda: "● active" in text_of(app))


async def test_r_releases_a_hold_after_a_yes(console: Any) -> None:
    async with console(prepare=prepared) as (app, pilot, bench):
        await until(pilot, lambda: "gone from the account" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: "Release first-points-welcome, step welcome?" in text_of(app))
        await pilot.press("enter")
        await ready(pilot)
        assert len(await bench.instance.journal.holds()) == 1
        await pilot.press("r")
        await until(pilot, lambda: "Release first-points-welcome" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: "gone from the account" not in text_of(app))
        assert await bench.instance.journal.holds() == []


async def test_n_plans_what_an_older_version_holds_anew(console: Any) -> None:
    async def kept(bench: Any) -> None:
        name = await bench.apply(example("first-points-welcome.yaml"))
        await submit(bench.instance, "hold", {"workflow": name, "step": "tier"}, "test")
        await bench.take([points(1)])
        await bench.drain()
        text = example("first-points-welcome.yaml").read_text().replace("LoyaltyTier", "LoyaltyLevel")
        await bench.apply(text, unsent="keep")

    async with console(prepare=kept) as (app, pilot, bench):
        app.screen.query_one("#holds", Table).focus()
        await press(pilot, "n")
        shown = text_of(app)
        assert "planned anew: 1 tier" in shown
        assert "Keep the plans" not in shown
        await press(pilot, "k", "p")
        await until(pilot, lambda: "planned anew under version 2" in toasts(app))
        [hold] = [each for each in await bench.instance.journal.holds() if each.waiting]
        assert (hold.version, hold.step) == (2, "tier")
        await press(pilot, "n")
        assert "Nothing of tier waits under an older version than 2" in toasts(app)


async def test_what_other_processes_do_is_seen(console: Any) -> None:
    async with console() as (app, pilot, bench):
        await bench.apply(example("first-points-welcome.yaml"), activate=False)
        await until(pilot, lambda: "○ draft" in text_of(app))


async def test_enter_on_a_workflow_shows_its_writes(console: Any) -> None:
    async with console(prepare=prepared) as (app, pilot, _):
        app.screen.query_one("#workflows", Table).focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "live" and "workflow:" in text_of(app))
