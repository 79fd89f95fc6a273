"""Pruning: the chain still shows every change, followers are not disturbed, nothing needed is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from askel_tui.store.journal.rows import AuditEntry
from askel_tui.store.journal.tables import retention
from askel_tui.store.journal.tables.audit import anchors
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.connection import connect
from tests.unit.journal.samples import CONNECTION, EVERYTHING, Desk, decision, hold

pytestmark = pytest.mark.clock

DAY = 86_400_000


@contextmanager
def connected(home: Path) -> Iterator[sqlite3.Connection]:
    """The journal's file, as somebody with a database tool has it."""
    db = sqlite3.connect(journal_file(home), timeout=10, isolation_level=None)
    try:
        yield db
    finally:
        db.close()


async def _old_and_new(desk: Desk, count: int = 4) -> tuple[int, list[AuditEntry]]:
    """Settled operations of long ago and of today; gives the border, and all entries."""
    await desk.send(await desk.planned(count))
    desk.now += 10 * DAY
    border = desk.now - DAY
    await desk.send(await desk.planned(count))
    return border, await desk.entries()


async def test_old_entries_go_and_the_chain_still_holds(desk: Desk) -> None:
    border, before = await _old_and_new(desk)
    half = len(before) // 2
    assert await desk.journal.prune_history(border, desk.now) > 0
    after = await desk.entries()
    assert after[:-1] == before[half:]
    marker = after[-1]
    assert marker.kind == "fold"
    assert marker.chain == "home"
    assert marker.response is not None
    detail = marker.response["detail"]
    assert (detail["through"], detail["entries"]) == (half, half)
    last, acceptances = before[half - 1], detail["chains"][0]
    assert detail["chains"][1] == {"chain": last.chain, "through": half, "row": half, "hash": last.hash}
    assert (acceptances["chain"], acceptances["through"]) == (f"connection:{CONNECTION}/acceptances", 1)
    assert (await desk.journal.verify_audit())[:2] == (half + 1, None)
    assert await desk.journal.prune_history(border, desk.now) == 0
    assert len(await desk.entries()) == half + 1
    await desk.send(await desk.planned(1))
    assert (await desk.journal.verify_audit())[1] is None


async def test_pruning_again_and_again(desk: Desk) -> None:
    for _ in range(4):
        await desk.send(await desk.planned(2))
        desk.now += 10 * DAY
        await desk.journal.prune_history(desk.now - 5 * DAY, desk.now)
        assert (await desk.journal.verify_audit())[1] is None
    entries = await desk.entries()
    assert [entry.kind for entry in entries] == ["fold"]
    assert (await desk.journal.verify_audit())[:2] == (1, None)


async def test_records_that_nothing_waits_for_go_and_others_stay(desk: Desk) -> None:
    done, waits, fails = await desk.planned(1), await desk.planned(1), await desk.planned(1)
    await desk.send(done)
    await desk.send(fails[:1], "failed", "bad")
    await desk.take(1)  # not planned yet
    desk.now += 10 * DAY
    await desk.take(1)
    await desk.journal.prune_history(desk.now - DAY, desk.now)
    kept = [each.record.id for each in await desk.journal.records_after(CONNECTION, 0, 10)]
    assert kept == [waits[0].record, fails[0].record, "evt-000003", "evt-000004"]
    assert len(await desk.waiting()) == 3
    assert len(await desk.journal.failures()) == 1


async def test_numbers_are_never_used_again(desk: Desk) -> None:
    await desk.send(await desk.planned(3))
    desk.now += 10 * DAY
    last = await desk.journal.last_record_seq(CONNECTION)
    await desk.journal.prune_history(desk.now, desk.now)
    await desk.take(1)
    assert await desk.journal.last_record_seq(CONNECTION) > last


async def test_requests_and_notices_go_with_their_entries(desk: Desk) -> None:
    border, _ = await _old_and_new(desk)
    await desk.journal.add_hold(hold("list"), desk.now)
    assert await desk.journal.request_body(1) is not None
    await desk.journal.prune_history(border, desk.now)
    assert await desk.journal.request_body(1) is None
    assert len(await desk.journal.notices()) == 1
    [*_, newest] = [entry for entry in await desk.entries() if entry.request]
    assert newest.request is not None
    assert newest.request["body"] is not None


async def test_a_follower_is_not_disturbed(desk: Desk) -> None:
    border, before = await _old_and_new(desk, 30)
    seen: list[int] = []

    async def follow() -> None:
        async for entry in desk.journal.follow_audit(EVERYTHING, before[-3].position):
            seen.append(entry.position)
            if entry.kind == "connect":
                return

    follower = asyncio.create_task(follow())
    pruning = asyncio.create_task(desk.journal.prune_history(border, desk.now, batch_rows=3))
    await desk.send(await desk.planned(1))
    await pruning
    await desk.journal.write_decision(decision("connect"), desk.now)
    await follower
    assert seen == list(range(before[-3].position + 1, seen[-1] + 1))
    assert (await desk.journal.verify_audit())[1] is None


async def test_cut_off_entries_without_a_marker_break_the_chain(desk: Desk, tmp_path: Path) -> None:
    _, entries = await _old_and_new(desk)
    with connected(tmp_path) as db:
        db.execute("DELETE FROM audit WHERE seq <= 5")
    assert (await desk.journal.verify_audit()).broken == (entries[0].chain, 1, "it is missing")


async def test_a_change_behind_the_marker_is_found(desk: Desk, tmp_path: Path) -> None:
    border, before = await _old_and_new(desk)
    await desk.journal.prune_history(border, desk.now)
    first = before[len(before) // 2].seq
    with connected(tmp_path) as db:
        db.execute("UPDATE audit SET actor = 'mallory' WHERE seq = ?", (first,))
    broken = (await desk.journal.verify_audit()).broken
    assert broken is not None
    assert broken.seq == first


async def test_interrupted_pruning_is_finished_later(desk: Desk, tmp_path: Path) -> None:
    """The marker stands, and only some of the entries are gone."""
    border, before = await _old_and_new(desk)
    half = len(before) // 2
    with closing(connect(journal_file(tmp_path))) as db:
        db.execute("BEGIN IMMEDIATE")
        entries, _, ends = anchors.old_ends(db, border)
        assert entries == half
        assert anchors.write_marker(db, entries, ends, desk.now)
        retention.delete_rows(db, "audit", {"through": half}, 2)
        db.execute("COMMIT")
    assert (await desk.journal.verify_audit())[1] is None
    await desk.journal.prune_history(border, desk.now)
    assert (await desk.entries())[0].seq == half + 1
    assert (await desk.journal.verify_audit())[1] is None


async def test_a_chain_that_was_pruned_whole_goes_on_from_where_it_ended(desk: Desk) -> None:
    """The marker that says where it begins is written anew before it is pruned itself."""
    await desk.journal.save_account(CONNECTION, "MpEmbr", desk.now)
    quiet = Desk(desk.journal, workflow="other", connection="second", now=desk.now)
    await quiet.send(await quiet.planned(2))
    [*_, last] = await quiet.entries(connection="second")
    for _ in range(4):
        await desk.send(await desk.planned(2))
        desk.now += 10 * DAY
        await desk.journal.prune_history(desk.now - 5 * DAY, desk.now)
        assert (await desk.journal.verify_audit()).broken is None
    quiet.now = desk.now
    await quiet.send(await quiet.planned(1))
    first, *_ = await quiet.entries(connection="second")
    assert (first.seq, first.prev) == (last.seq + 1, last.hash)
    acceptance = (await desk.journal.acceptance_rows(0, 10))[-1]
    assert (acceptance["chain"], acceptance["seq"]) == ("connection:second/acceptances", 2)
    assert (await desk.journal.verify_audit())[1:] == (None, 1, 0, ())
