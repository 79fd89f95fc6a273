"""Read-only: no write leaves the process, whoever asks, and the screens go on."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.store.journal.interface import Journal
from askel_tui.sync.instance import Instance
from askel_tui.tui.backend import Backend, queries, services
from askel_tui.tui.backend.access import MARK, LazyFunction, is_write, reads
from askel_tui.tui.backend.read_only import OTHER_JOURNAL_READS, ReadOnly, is_read
from tests.support.sandbox import running
from tests.support.workbench import NAME, example, workbench
from tests.tui.conftest import toasts, until

pytestmark = pytest.mark.clock

WRITES = sorted(
    name
    for name, function in {**vars(services), **services.LAZY}.items()
    if (isinstance(function, LazyFunction) or hasattr(function, MARK)) and is_write(function)
)


@asynccontextmanager
async def open_backend(home: Path) -> AsyncIterator[Backend]:
    """A read-only backend, open inside the block."""
    backend = Backend(home, read_only=True)
    await backend.open(lambda: None)
    try:
        yield backend
    finally:
        await backend.close()


def test_what_changes_something_is_marked() -> None:
    must = {
        "connect", "check_connection", "rotate", "disconnect", "change_connection", "check_key", "apply", "activate",
        "ingest_file", "submit", "change_setting", "save_config", "send_test_notice", "replan",
    }  # fmt: skip
    assert must == set(WRITES)
    assert all(not is_write(each) for each in vars(queries).values() if hasattr(each, MARK))


@pytest.mark.parametrize("name", sorted(services.LAZY))
def test_every_name_in_the_table_is_a_function_of_an_instance(name: str) -> None:
    assert next(iter(inspect.signature(services.LAZY[name].load()).parameters)) == "instance"


async def test_a_function_without_a_mark_is_not_called(tmp_path: Path) -> None:
    async def unmarked(instance: Instance) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="neither marked"):
        await Backend(tmp_path).call(unmarked)


async def test_every_write_is_refused_and_nothing_reaches_klaviyo(tmp_path: Any, monkeypatch: Any) -> None:
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as bench:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        sent, audited = sandbox.world.logged_count, len(await bench.audit())
        async with open_backend(tmp_path) as backend:
            for name in WRITES:
                with pytest.raises(ReadOnly, match="read-only"):
                    await backend.call(getattr(services, name))
            with pytest.raises(ReadOnly, match="read-only"):
                await backend.start_daemon()
            with pytest.raises(ReadOnly, match="read-only"):
                await backend.submit("pause", workflow="first-points-welcome")
            assert (await backend.call(services.read_status)).connections
            await backend.call(services.discover, NAME, ["lists"])
            assert (await backend.call(services.dry_run, "first-points-welcome", last=3)).records
            assert await backend.call(services.check_segment, NAME, "VIP", "vip@example.com")
        made = [entry for entry in sandbox.world.log if entry["n"] > sent]
        assert made
        assert {entry["method"] for entry in made} == {"GET"}
        assert len(await bench.audit()) == audited


async def test_the_guard_holds_below_the_screens(tmp_path: Any, monkeypatch: Any) -> None:
    """What is marked wrongly is refused by the journal, by state and by the client."""

    @reads
    async def send(instance: Instance) -> None:
        client = await instance.client(NAME)
        assert client is not None
        await client.call(Call.CREATE_EVENT, body={})

    @reads
    async def command(instance: Instance) -> None:
        await instance.journal.submit_command("pause", {}, NAME, 0)

    @reads
    async def forget(instance: Instance) -> None:
        instance.state.remove_connection(NAME)

    async with (
        running() as sandbox,
        workbench(tmp_path, sandbox, monkeypatch),
        open_backend(tmp_path) as backend,
    ):
        for function in (send, command, forget):
            with pytest.raises(ReadOnly):
                await backend.call(function)


def test_what_the_guard_lets_through_is_the_journals() -> None:
    methods = {name for name, _ in inspect.getmembers(Journal, inspect.isfunction)}
    assert methods >= OTHER_JOURNAL_READS | {"holds", "counts", "audit_entries", "phone_owners"}
    writes = {
        "accept_records", "set_workflow_state", "forget_workflow", "commit_runs", "open_request", "answer_request",
        "forget_profile_id", "add_hold", "release_hold", "discard_held", "retry_failures", "discard_failures",
        "submit_command", "finish_command", "write_decision", "prune_bodies",
    }  # fmt: skip
    assert methods >= writes
    assert not [name for name in writes if is_read(Journal, name)]
    assert all(is_read(Journal, name) for name in ("holds", "counts", "audit_entries", "phone_owners"))


async def test_a_refused_order_is_a_toast(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))

    async with console(read_only=True, prepare=prepare) as (app, pilot, _):
        await pilot.press("p")
        await until(pilot, lambda: "this console is read-only" in toasts(app))
        assert app.is_running
