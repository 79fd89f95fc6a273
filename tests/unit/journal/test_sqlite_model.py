"""Whatever the order of actions: every operation is in one state, counted there, and is sent in order."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from pathlib import Path
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from askel_tui.store.journal.rows import (
    DelayedOperation,
    OpenRequest,
    Outcome,
    SettledOperation,
    StoredOperation,
    WorkflowCounts,
)
from askel_tui.store.journal.tables.operations import STORED_COLUMNS, decode_operation
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.unit.journal.samples import CONNECTION, EVERYTHING, NOW, WORKFLOW, Desk, decision, hold, intent
from tests.unit.journal.test_sqlite_processes import recount

STEPS = ["tier", "vip", "points", "list"]
GATES = ["vip"]
OUTCOMES = ("written", "unconfirmed", "failed", "discarded")
ENDS = {"written", "unconfirmed", "passed", "skipped", "discarded"}
steps = st.sampled_from(STEPS)
chance = st.integers(0, 2**32).map(random.Random)


class JournalMachine(RuleBasedStateMachine):
    """A daemon and people at work on one journal, one thing after another."""

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.path = Path(self.directory.name) / "journal.db"
        self.desk = Desk(self.runner.run(open_journal(self.path)))
        self.planned: dict[str, StoredOperation] = {}

    def teardown(self) -> None:
        self.runner.run(self.desk.journal.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(count=st.integers(1, 3))
    def plan(self, count: int) -> None:
        async def planning() -> None:
            before = {each.operation.id for each in await self.queued()}
            await self.desk.planned(count, STEPS, gates=GATES)
            after = await self.queued()
            new = {each.operation.id: each for each in after if each.operation.id not in before}
            assert len(new) <= count * len(STEPS)
            self.planned |= new

        self.runner.run(planning())

    @rule()
    def plan_fails(self) -> None:
        self.runner.run(self.desk.plan_fails())

    @rule(random=chance)
    def open_request(self, random: random.Random) -> None:
        async def opening() -> None:
            ready = [each for each in await self.desk.waiting() if not each.operation.is_gate]
            chosen = random.sample(ready, min(len(ready), random.randint(1, 4)))
            if chosen:
                await self.desk.journal.open_request(intent(chosen), NOW)

        self.runner.run(opening())

    @rule(random=chance)
    def answer(self, random: random.Random) -> None:
        async def answering() -> None:
            open_requests = await self.desk.journal.requests_in_doubt([CONNECTION])
            if open_requests:
                await self._answer(random.choice(open_requests), random)

        self.runner.run(answering())

    async def _answer(self, open_request: OpenRequest, random: random.Random) -> None:
        settled, delayed, held = [], [], []
        for each in open_request.operations:
            end = random.choice(
                ["written", "unconfirmed", "failed", "discarded", "delayed", "held", "no word"]
            )
            if end == "delayed":
                delayed.append(DelayedOperation(each, NOW, "503"))
            elif end == "held":
                held.append(each)
            elif end != "no word":
                settled.append(SettledOperation(each, cast("Outcome", end), 200))
        placed = hold(held[0].operation.step) if held else None
        await self.desk.journal.answer_request(
            open_request.id,
            settled=settled,
            delayed=delayed,
            held=held,
            hold=placed,
            keep_carrying=random.choice([True, False]),
            now=NOW,
        )

    @rule(random=chance, outcome=st.sampled_from(["passed", "skipped", "failed"]))
    def read_gate(self, random: random.Random, outcome: Outcome) -> None:
        async def reading() -> None:
            gates = [
                each for each in await self.queued() if each.operation.is_gate and each.state != "failed"
            ]
            if gates:
                settled = [SettledOperation(random.choice(gates), outcome, detail="read")]
                await self.desk.journal.answer_request(None, settled=settled, connection=CONNECTION, now=NOW)

        self.runner.run(reading())

    @rule(step=steps)
    def add_hold(self, step: str) -> None:
        self.runner.run(self.desk.journal.add_hold(hold(step), NOW))

    @rule(step=steps)
    def release_hold(self, step: str) -> None:
        self.runner.run(self.desk.journal.release_hold(WORKFLOW, step, decision("release"), NOW))

    @rule(step=steps)
    def discard_held(self, step: str) -> None:
        self.runner.run(self.desk.journal.discard_held(WORKFLOW, step, decision("discard"), NOW))

    @rule(random=chance, retry=st.booleans())
    def decide_failure(self, random: random.Random, retry: bool) -> None:
        async def deciding() -> None:
            journal = self.desk.journal
            failures = await journal.failures()
            if failures:
                chosen = random.choice(failures)
                do = journal.retry_failures if retry else journal.discard_failures
                assert await do([chosen.id], decision("retry"), NOW) == 1

        self.runner.run(deciding())

    async def queued(self) -> list[StoredOperation]:
        """All operations that are not settled, through the file: the interface never needs them at once."""
        connection = sqlite3.connect(self.path)
        try:
            return [
                decode_operation(row)
                for row in connection.execute(f"SELECT {STORED_COLUMNS} FROM operations ORDER BY seq")
            ]
        finally:
            connection.close()

    @invariant()
    def everything_has_one_state(self) -> None:
        if not hasattr(self, "desk"):
            return

        async def read_back() -> None:
            journal = self.desk.journal
            queued = await self.queued()
            entries = await journal.audit_entries(EVERYTHING, limit=100_000)
            ended = [entry.operation for entry in entries if entry.operation and entry.status in ENDS]
            assert len(ended) == len(set(ended)), "an operation ends once"
            assert {*ended} | {each.operation.id for each in queued} == self.planned.keys()
            assert not {*ended} & {each.operation.id for each in queued}

            counted = {
                name: each for name, each in (await journal.counts()).items() if each != WorkflowCounts()
            }
            assert counted == recount(self.path)
            assert (await journal.verify_audit())[:2] == (len(entries), None)

            open_requests = await journal.requests_in_doubt([CONNECTION])
            carried = {each.seq for open_request in open_requests for each in open_request.operations}
            waiting = await journal.waiting_operations([CONNECTION], 0, 100_000)
            assert waiting == [each for each in queued if each.state == "waiting" and each.seq not in carried]
            held = [each for each in queued if each.state == "held"]
            holds = await journal.holds()
            assert sum(each.waiting for each in holds) == len(held)
            stopped = {each.step for each in holds}
            assert not [each for each in waiting if each.operation.step in stopped]
            gates = {(each.record_seq, each.index) for each in held if each.operation.is_gate}
            past = [
                each
                for each in waiting
                for record, index in gates
                if each.record_seq == record and each.index > index
            ]
            assert not past, "nothing is sent past a held gate"
            failed = [each for each in queued if each.state == "failed"]
            kept = await journal.failures()
            assert {each.operation.seq for each in kept if each.operation} <= {each.seq for each in failed}
            assert bool(failed) == any(each.operation for each in kept)

        self.runner.run(read_back())


TestJournalMachine = pytest.mark.slow(JournalMachine.TestCase)
TestJournalMachine.settings = examples(40, stateful_step_count=30)
