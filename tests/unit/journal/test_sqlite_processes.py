"""Several processes on one file, and processes that are killed while they write."""

from __future__ import annotations

import random
import sqlite3
from contextlib import ExitStack
from pathlib import Path

import pytest

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import AuditFilter, WorkflowCounts
from askel_tui.store.sqlite.journal import open_journal
from tests.support.processes import finished, line, python
from tests.unit.journal.samples import CONNECTION, WORKFLOW, Desk

WORKER = """
    import asyncio, sys
    from pathlib import Path
    from askel_tui.store.sqlite.journal import open_journal
    from tests.unit.journal.samples import Desk, CONNECTION, NOW, record

    async def main(path, name, rounds):
        journal = await open_journal(Path(path))
        desk = Desk(journal, workflow=name, connection=name)
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(rounds):
            await journal.accept_records(CONNECTION, [record(number)], NOW)
            planned = await desk.planned(1, ["tier", "points"])
            await desk.send(planned[:1])
            await desk.send(planned[1:], "failed" if number % 5 == 0 else "written")
            place, _ = await journal.take_slot("shared", "call", [(30, 60_000)], NOW)
            if place is not None:
                print("place", place, flush=True)
        await journal.close()

    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def recount(path: Path) -> dict[str, WorkflowCounts]:
    """The counters as a count over the tables gives them."""
    connection = sqlite3.connect(path)
    try:
        counted: dict[str, list[int]] = {}
        operations = "SELECT workflow, state, count(*) FROM operations GROUP BY workflow, state"
        for workflow, state, number in connection.execute(operations):
            counted.setdefault(workflow, [0] * 6)[state] += number
        plans = "SELECT workflow, count(*) FROM failures WHERE operation IS NULL GROUP BY workflow"
        for workflow, number in connection.execute(plans):
            counted.setdefault(workflow, [0] * 6)[2] += number
        sent = (
            "SELECT workflow, count(*) FROM audit "
            "WHERE status IN ('written', 'unconfirmed') AND kind <> 'require_segment' GROUP BY workflow"
        )
        for workflow, number in connection.execute(sent):
            counted.setdefault(workflow, [0] * 6)[3] += number
        discarded = "SELECT workflow, count(*) FROM discarded_operations GROUP BY workflow"
        given_up = (
            "SELECT workflow, count(*) FROM discarded_failures WHERE operation IS NULL GROUP BY workflow"
        )
        for workflow, number in (*connection.execute(discarded), *connection.execute(given_up)):
            counted.setdefault(workflow, [0] * 6)[5] += number
        return {workflow: WorkflowCounts(*numbers) for workflow, numbers in counted.items()}
    finally:
        connection.close()


async def test_processes_at_once_keep_chain_counters_and_windows_right(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    rounds, names = 40, ["one", "two", "three"]
    with ExitStack() as stack:
        workers = [stack.enter_context(python(WORKER, path, name, rounds)) for name in names]
        for worker in workers:
            assert line(worker) == "ready"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        positions = [said for worker in workers for said in finished(worker).splitlines()]
    journal = await open_journal(path)
    try:
        assert (await journal.verify_audit())[:2] == (rounds * 2 * len(names), None)
        expected = WorkflowCounts(failed=rounds // 5, sent=rounds * 2 - rounds // 5)
        assert await journal.counts() == recount(path) == dict.fromkeys(names, expected)
        # The same ids from all of them: each is stored once.
        assert len(await journal.records_after(CONNECTION, 0, 1_000)) == rounds
        assert len(positions) == len(set(positions)) == 30
    finally:
        await journal.close()


OPENER = """
    import asyncio, sys
    from pathlib import Path
    from askel_tui.store.sqlite.journal import open_journal
    from tests.unit.journal.samples import NOW, record

    async def main(path, name):
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(8):
            journal = await open_journal(Path(path))
            await journal.accept_records(name, [record(number)], NOW)
            await journal.counts()
            await journal.close()

    asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_processes_that_open_and_close_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    names = [f"process-{number}" for number in range(8)]
    with ExitStack() as stack:
        started = [stack.enter_context(python(OPENER, path, name)) for name in names]
        for process in started:
            assert line(process) == "ready"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            finished(process)
    journal = await open_journal(path)
    try:
        for name in names:
            assert len(await journal.records_after(name, 0, 100)) == 8
    finally:
        await journal.close()


KILLED = """
    import asyncio, sys
    from pathlib import Path
    from askel_tui.store.journal.rows import SettledOperation
    from askel_tui.store.journal.errors import StaleOperations
    from askel_tui.store.sqlite.journal import open_journal
    from tests.unit.journal.samples import Desk, CONNECTION, decision, hold

    async def main(path):
        journal = await open_journal(Path(path))
        desk = Desk(journal)
        desk.position = max((state.position or 0 for state in await journal.workflow_states()), default=0)
        desk._number = await journal.last_record_seq(CONNECTION)
        for doubt in await journal.requests_in_doubt([CONNECTION]):
            settled = [SettledOperation(each, "written", 200) for each in doubt.operations]
            await journal.answer_request(doubt.id, settled=settled, now=desk.now)

        async def serve():
            while True:
                await desk.take(3)
                print("taken", desk._number, flush=True)
                await desk.plan()
                print("planned", desk.position, flush=True)
                if desk.position % 2:
                    await journal.add_hold(hold("list"), desk.now)
                else:
                    await journal.release_hold("welcome", "list", decision("release"), desk.now)

        async def send():
            while True:
                waiting = await desk.waiting()
                for each in waiting[:5]:
                    try:
                        await desk.send([each], "failed" if each.seq % 7 == 0 else "written")
                    except StaleOperations:
                        continue
                    print("sent", each.seq, flush=True)
                await asyncio.sleep(0)

        await asyncio.gather(serve(), send())

    asyncio.run(main(sys.argv[1]))
"""


async def whole(journal: Journal, path: Path, acknowledged: list[str]) -> None:
    """Whatever was acknowledged is there, the chain holds and the counters are right."""
    broken = (await journal.verify_audit()).broken
    assert broken is None
    assert await journal.counts() == recount(path)
    last = {what: int(number) for what, number in (said.split() for said in acknowledged)}
    assert await journal.last_record_seq(CONNECTION) >= last.get("taken", 0)
    (state,) = await journal.workflow_states()
    assert (state.position or 0) >= last.get("planned", 0)
    entries = await journal.audit_entries(AuditFilter(kind="upsert_profile"), limit=1_000_000)
    message = {entry.operation for entry in entries}
    assert len(message) == len(entries), "no operation is settled twice"
    left = await Desk(journal).waiting()
    sent = {int(said.split()[1]) for said in acknowledged if said.startswith("sent")}
    assert not sent & {each.seq for each in left}
    assert [hold.waiting for hold in await journal.holds()] in ([], [(await journal.counts())[WORKFLOW].held])


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for _ in range(3):
        with python(KILLED, path) as worker:
            acknowledged += [line(worker) for _ in range(chance.randrange(5, 60))]
            worker.kill()
            assert worker.stdout is not None
            # What it had said before it died; the last line may be cut.
            rest = worker.stdout.read().split("\n")
            acknowledged += [said for said in rest[:-1] if said]
        journal = await open_journal(path)
        try:
            await whole(journal, path, acknowledged)
        finally:
            await journal.close()
