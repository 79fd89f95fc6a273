"""Homes for tests with real processes: made ready in this process, looked into when the processes have ended."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from askel_tui.contract.revisions import NEWEST
from askel_tui.services import connections, workflows
from askel_tui.services.ingest import ingest
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import Instance, open_instance
from tests.support.shell import Shell
from tests.support.workbench import ACTOR, NAME

T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """What the journal of a home says once nothing runs there."""

    entries: list[AuditEntry]
    broken: object
    requests_in_doubt: int
    holds: Mapping[str, str]
    """Held steps and their causes."""
    failures: int

    def assert_once(self, *, failures: int = 0) -> None:
        """The chain holds, nothing is in doubt, so many failed, and no operation has two entries that settle it."""
        assert self.broken is None
        assert self.requests_in_doubt == 0
        assert self.failures == failures
        times = Counter(entry.operation for entry in self.entries if entry.operation is not None)
        assert not [key for key, number in times.items() if number > 1]


def prepare(
    shell: Shell,
    texts: Iterable[str],
    records: Iterable[Mapping[str, Any]] = (),
    *,
    files: Iterable[Path] = (),
    revision: str = NEWEST,
) -> None:
    """Connects, applies and activates workflows (YAML), and takes records in."""

    async def work() -> None:
        async with open_instance() as instance:
            await connections.connect(
                instance,
                NAME,
                shell.key,
                ACTOR,
                revision=revision,
                accept_retired=revision != NEWEST,
            )
            for text in texts:
                done = await workflows.apply(instance, text, "test.yaml", ACTOR)
                await workflows.activate(instance, done.document.workflow, ACTOR)
            await _take(instance, records, files)

    _in(shell, work())


async def _take(instance: Instance, records: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> None:
    lines = [json.dumps(record).encode() for record in records]
    for path in files:
        lines += path.read_bytes().splitlines()
    await ingest(instance, NAME, lines, "jsonl")


def take(shell: Shell, records: Iterable[Mapping[str, Any]]) -> None:
    """Takes records in, as another process beside a daemon would."""

    async def work() -> None:
        async with open_instance() as instance:
            await _take(instance, records, ())

    _in(shell, work())


def release(shell: Shell, *, cause: str | None = None) -> None:
    """Releases what is held (for a cause, if one is given), as a person would while no daemon runs."""

    async def work() -> None:
        async with open_instance() as instance:
            if any(cause in (None, hold.cause) for hold in await instance.journal.holds()):
                await submit(instance, "release", {"cause": cause}, ACTOR)

    _in(shell, work())


def read_end(shell: Shell) -> Ended:
    """Reads the journal of a home."""

    async def work() -> Ended:
        async with open_instance() as instance:
            journal = instance.journal
            broken = (await journal.verify_audit()).broken
            return Ended(
                await journal.audit_entries(AuditFilter(), limit=1_000_000),
                broken,
                len(await journal.requests_in_doubt([NAME])),
                {hold.step: hold.cause for hold in await journal.holds()},
                len(await journal.failures()),
            )

    return _in(shell, work())


def _in(shell: Shell, work: Coroutine[Any, Any, T]) -> T:
    found: list[T] = []

    async def kept() -> None:
        # Not the task's result: asyncio writes out what a task gave, and an audit is long.
        found.append(await work)

    with pytest.MonkeyPatch.context() as patched:
        for name, value in shell.environment().items():
            if name.startswith("ASKEL_"):
                patched.setenv(name, value)
        asyncio.run(kept())
    return found[0]
