"""A daemon that is started from the console: it sends, the screens see it, and leaving asks what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.workbench import example
from tests.tui.conftest import text_of, until


@pytest.mark.timeout(120)
async def test_d_starts_a_daemon_that_sends_and_quitting_asks(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))

    async with console(prepare=prepare) as (app, pilot, bench):
        await pilot.press("d")
        await until(pilot, lambda: app.head.daemon_running and app.head.daemon_is_ours, 30)
        assert "daemon runs (started here)" in text_of(app)
        await until(pilot, lambda: bench.events("First Points Earned"), 30)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave the daemon running?" in text_of(app))
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave the daemon running?" in text_of(app))
        await pilot.press("n")
        await until(pilot, lambda: app._exit)
    assert not app.backend.started_daemon
    from askel_tui.store.locks import owner_pid

    assert owner_pid(bench.instance.home) is None
