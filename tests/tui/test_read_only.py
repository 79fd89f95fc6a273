"""Read-only: no write leaves the process, whoever asks, and the screens go on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.store.journal.interface import Journal
from askel_tui.tui.backend import WRITES, Backend, open_backend
from askel_tui.tui.backend.read_only import JOURNAL_READS, ReadOnly
from tests.support.sandbox import running
from tests.support.workbench import NAME, example, workbench
from tests.tui.conftest import toasts, until

MARKED = sorted(name for name in dir(Backend) if hasattr(getattr(Backend, name), WRITES))


def test_what_changes_something_is_marked() -> None:
    must = {
        "connect", "check_connection", "rotate", "disconnect", "change_connection", "apply", "activate",
        "ingest", "submit", "pause", "resume", "hold", "release", "discard_held", "retry_failures",
        "discard_failures", "change_setting", "start_daemon",
    }  # fmt: skip
    assert must <= set(MARKED)


async def test_every_write_is_refused_and_nothing_reaches_klaviyo(tmp_path: Any, monkeypatch: Any) -> None:
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as bench:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        sent, audited = sandbox.world.logged_count, len(await bench.audit())
        async with open_backend(tmp_path, read_only=True) as backend:
            for name in MARKED:
                with pytest.raises(ReadOnly, match="read-only"):
                    await getattr(backend, name)()
            with pytest.raises(ReadOnly, match="checking a key"):
                await backend.check_key("pk_key", "2026-07-15")
            assert (await backend.status()).connections
            await backend.discover(NAME, ["lists"])
            assert (await backend.dry_run("first-points-welcome", last=3)).records
            assert await backend.segment_check(NAME, "VIP", "vip@example.com")
        made = [entry for entry in sandbox.world.log if entry["n"] > sent]
        assert made
        assert {entry["method"] for entry in made} == {"GET"}
        assert len(await bench.audit()) == audited


async def test_the_guard_holds_below_the_screens(tmp_path: Any, monkeypatch: Any) -> None:
    """What forgets to say that it writes is refused by the journal, by state and by the client."""
    async with (
        running() as sandbox,
        workbench(tmp_path, sandbox, monkeypatch),
        open_backend(tmp_path, read_only=True) as backend,
    ):
        opened = backend._instance
        assert opened is not None
        client = await backend.loop.call(opened.client(NAME))
        assert client is not None
        with pytest.raises(ReadOnly):
            await backend.loop.call(client.call(Call.CREATE_EVENT, body={}))
        with pytest.raises(ReadOnly):
            opened.journal.submit_command  # noqa: B018
        with pytest.raises(ReadOnly):
            opened.state.remove_connection(NAME)


def test_what_the_guard_lets_through_is_the_journals() -> None:
    methods = {name for name, _ in inspect.getmembers(Journal, inspect.isfunction)}
    assert methods >= JOURNAL_READS
    writes = {
        "accept", "set_workflow", "forget_workflow", "plan", "open_request", "answer_request", "forget_profile",
        "place_hold", "release_hold", "discard_held", "retry_failures", "discard_failures", "order", "finish_command",
        "decide", "fold",
    }  # fmt: skip
    assert writes.isdisjoint(JOURNAL_READS)


async def test_a_refused_order_is_a_toast(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))

    async with console(read_only=True, prepare=prepare) as (app, pilot, _):
        await pilot.press("p")
        await until(pilot, lambda: "this console is read-only" in toasts(app))
        assert app.is_running
