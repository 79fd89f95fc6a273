"""Read-only: no write leaves the process, whoever asks, and the screens go on."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from askel_tui.tui import backend as backend_module
from askel_tui.tui.backend import Backend, open_backend
from askel_tui.tui.read_only import JOURNAL_READS, ReadOnly
from askel_tui.store.journal import Journal
from tests.support.sandbox import running
from tests.support.workbench import NAME, example, workbench
from tests.tui.conftest import text_of, until

WRITES = [
    ("connect", ("other", "pk_key")), ("check_key", ("pk_key", "2026-07-15")), ("check_connection", (NAME,)),
    ("rotate", (NAME, "pk_key")), ("disconnect", (NAME,)), ("change_connection", (NAME,)),
    ("fire", (NAME, "Welcome Series", "ada@example.com")), ("apply", ("workflow: x", "x.yaml")),
    ("activate", ("first-points-welcome",)), ("delete_workflow", ("first-points-welcome",)),
    ("ingest", (NAME, example("first-points.jsonl"))), ("give", ("pause", {})), ("pause", ("first-points-welcome",)),
    ("resume", ("first-points-welcome",)), ("hold", ("first-points-welcome", "tier")),
    ("release", ("first-points-welcome", "tier")), ("discard_held", ("first-points-welcome", "tier")),
    ("retry_failures", ([1],)), ("discard_failures", ([1],)), ("save_setting", ("a", 1)), ("start_daemon", ()),
]  # fmt: skip


async def test_every_write_is_refused_and_nothing_reaches_klaviyo(tmp_path: Any, monkeypatch: Any) -> None:
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as bench:
        await bench.apply(example("first-points-welcome.yaml"))
        await bench.take(example("first-points.jsonl"))
        sent, audited = sandbox.world.logged, len(await bench.audit())
        async with open_backend(tmp_path, read_only=True) as backend:
            for name, arguments in WRITES:
                with pytest.raises(ReadOnly, match="read-only"):
                    await getattr(backend, name)(*arguments)
            assert (await backend.status())["connections"]
            await backend.discover(NAME, ["lists"])
            assert (await backend.dry_run("first-points-welcome", last=3))["records"]
            assert await backend.segment_check(NAME, "VIP", "vip@example.com")
        made = [entry for entry in sandbox.world.log if entry["n"] > sent]
        assert made
        assert {entry["method"] for entry in made} == {"GET"}
        assert len(await bench.audit()) == audited


async def test_the_guard_holds_below_the_screens(tmp_path: Any, monkeypatch: Any) -> None:
    """What forgets to say that it writes is refused by the journal, by state and by the client."""
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch):
        async with open_backend(tmp_path, read_only=True) as backend:
            opened = backend._instance
            assert opened is not None
            client = await backend.loop.call(opened.client(NAME))
            assert client is not None
            with pytest.raises(ReadOnly):
                await backend.loop.call(client.call("create_event", body={}))
            with pytest.raises(ReadOnly):
                opened.journal.order  # noqa: B018
            with pytest.raises(ReadOnly):
                opened.state.remove_connection(NAME)


def test_the_journal_has_no_method_that_the_guard_does_not_know() -> None:
    """A new method of the journal is refused until somebody says that it only reads."""
    methods = {
        name for name, _ in inspect.getmembers(Journal, inspect.isfunction) if not name.startswith("_")
    }
    writes = {
        "accept", "set_workflow", "forget_workflow", "plan", "open_request", "answer_request", "forget_profile",
        "place_hold", "release_hold", "discard_held", "retry_failures", "discard_failures", "order", "finish_command",
        "decide", "fold",
    }  # fmt: skip
    assert writes.isdisjoint(JOURNAL_READS)
    assert methods - writes - JOURNAL_READS == set()


def test_what_the_backend_marks_as_a_write_is_tried_above() -> None:
    source = inspect.getsource(backend_module.Backend)
    marked = {line.split("def ")[1].split("(")[0] for line in _after(source, "@writes")}
    assert marked - {"stop_daemon"} <= {name for name, _ in WRITES}
    assert all(hasattr(Backend, name) for name, _ in WRITES)


def _after(source: str, mark: str) -> list[str]:
    lines = source.splitlines()
    return [lines[at + 1] for at, line in enumerate(lines) if line.strip() == mark]


async def test_a_refused_order_is_a_toast(console: Any) -> None:
    async def prepare(bench: Any) -> None:
        await bench.apply(example("first-points-welcome.yaml"))

    async with console(read_only=True, prepare=prepare) as (app, pilot, _):
        await pilot.press("p")
        await until(pilot, lambda: "this console is read-only" in " ".join(text_of(app).split()))
        assert app.is_running
