"""The audit: a chain that shows every change, filters that find entries, followers that see it grow."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from askel_tui.store.journal.rows import AuditEntry, AuditFilter, Decision
from tests.unit.journal.samples import CONNECTION, EVERYTHING, NOW, WORKFLOW, Desk, decision, hold, intent


async def story(desk: Desk) -> list[AuditEntry]:
    """A bit of everything, and all its entries."""
    planned = await desk.planned(3)
    await desk.send(planned[:2])
    await desk.send(planned[2:3], "unconfirmed")
    desk.now += 1_000
    await desk.send(planned[3:4], "failed", "Invalid e-mail ADA@Über.example")
    await desk.journal.add_hold(hold("list"), desk.now)
    await desk.plan_fails()
    other = Desk(desk.journal, workflow="other", connection="second", now=desk.now - 5_000)
    await other.send(await other.planned(1), "skipped", "known")
    await desk.journal.write_decision(
        Decision("connect", "grace", CONNECTION, detail={"revision": "2026-07-15"}), NOW
    )
    return await desk.journal.audit_entries(EVERYTHING)


async def test_entries_are_numbered_and_chained(desk: Desk) -> None:
    entries = await story(desk)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    chains = {name: [each for each in entries if each.chain == name] for name in {e.chain for e in entries}}
    assert set(chains) == {f"connection:{CONNECTION}/writes", "connection:second/writes"}
    for chain in chains.values():
        assert [entry.seq for entry in chain] == list(range(1, len(chain) + 1))
        assert chain[0].prev == "0" * 64
        assert all(after.prev == before.hash for before, after in pairwise(chain))
    assert len({entry.hash for entry in entries}) == len(entries)
    assert (await desk.journal.verify_audit())[:2] == (len(entries), None)


FILTERS: list[dict[str, Any]] = [
    {},
    {"connection": CONNECTION},
    {"connection": "second"},
    {"workflow": WORKFLOW},
    {"workflow": WORKFLOW, "step": "points"},
    {"step": "list"},
    {"record": "evt-000000"},
    {"record": "evt-000000", "workflow": WORKFLOW, "status": "written"},
    {"status": "written"},
    {"status": "unconfirmed"},
    {"status": "failed"},
    {"status": "failed", "workflow": WORKFLOW},
    {"status": "skipped", "connection": CONNECTION},
    {"status": "done"},
    {"status": "no such status"},
    {"kind": "hold"},
    {"kind": "plan", "status": "failed"},
    {"kind": "upsert_profile"},
    {"since": NOW + 1},
    {"until": NOW},
    {"since": NOW - 4_500, "until": NOW + 500},
    {"since": NOW + 10_000_000},
    {"workflow": WORKFLOW, "since": NOW + 1, "status": "failed"},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
async def test_a_filter_gives_the_entries_that_checking_each_one_gives(
    desk: Desk, wanted: dict[str, Any]
) -> None:
    entries = await story(desk)

    def fits(entry: AuditEntry) -> bool:
        since, until = wanted.get("since", 0), wanted.get("until", 2**60)
        rest = {name: value for name, value in wanted.items() if name not in ("since", "until")}
        return since <= entry.at <= until and all(
            getattr(entry, name) == value for name, value in rest.items()
        )

    expected = [entry for entry in entries if fits(entry)]
    asked = AuditFilter(**wanted)
    assert await desk.journal.audit_entries(asked) == expected
    assert await desk.journal.audit_entries(asked, limit=2) == expected[:2]
    assert await desk.journal.audit_entries(asked, limit=2, newest=True) == expected[-2:]
    assert await desk.journal.audit_entries(asked, after=4) == [
        entry for entry in expected if entry.position > 4
    ]


async def test_a_profile_is_found_whole_and_in_any_case(desk: Desk) -> None:
    await story(desk)
    mine = await desk.entries(profile="EVT-000000@mapleandember.EXAMPLE")
    assert {entry.record for entry in mine} == {"evt-000000"}
    assert await desk.entries(profile="vt-000000@mapleandember.example") == []
    assert await desk.entries(profile='" OR 1=1 --') == []


async def test_text_is_found_wherever_it_stands(desk: Desk) -> None:
    await story(desk)
    assert [entry.status for entry in await desk.entries(text="invalid e-mail ada@Über")] == ["failed"]
    assert [entry.actor for entry in await desk.entries(text="GRACE")] == ["grace"]
    assert [entry.kind for entry in await desk.entries(text="welcome flow (l1)")] == ["hold"]
    assert await desk.entries(text="100%_*") == []


async def test_detail_is_hashed_as_it_will_be_read(desk: Desk) -> None:
    detail = {"by": {10: "ten", 9: "nine"}, "seen": (1, 2), "name": "Übér \ud800"}
    await desk.journal.write_decision(Decision("browse", "ada", detail=detail), NOW)
    (entry,) = await desk.entries()
    assert entry.response == {
        "detail": {"by": {"10": "ten", "9": "nine"}, "seen": [1, 2], "name": "Übér \ud800"}
    }
    assert (await desk.journal.verify_audit())[:2] == (1, None)


async def test_followers_see_what_comes_and_nothing_else(desk: Desk) -> None:
    planned = await desk.planned(4)
    await desk.send(planned[:1])
    seen: list[AuditEntry] = []

    async def follow() -> None:
        async for entry in desk.journal.follow_audit(AuditFilter(step="points"), 0):
            seen.append(entry)
            if len(seen) == 2:
                return

    follower = asyncio.create_task(follow())
    await desk.send(planned[1:3])
    await desk.send(planned[3:5])
    await follower
    assert [entry.record for entry in seen] == ["evt-000000", "evt-000001"]


async def test_followers_end_when_the_journal_is_closed(desk: Desk) -> None:
    await desk.journal.write_decision(decision("connect"), NOW)
    began = asyncio.Event()

    async def follow() -> int:
        count = 0
        async for _ in desk.journal.follow_audit(EVERYTHING, 0):
            began.set()
            count += 1
        return count

    follower = asyncio.create_task(follow())
    await began.wait()
    await desk.journal.close()
    assert await follower == 1


async def test_pruning_deletes_old_bodies_and_the_chain_still_holds(desk: Desk) -> None:
    planned = await desk.planned(2)
    old = await desk.send(planned[:1])
    open_request = await desk.journal.open_request(intent(planned[1:2]), desk.now)
    desk.now += 120_000
    await desk.send(planned[3:4])
    # The old request's body, and the places of the old one and of the one in doubt.
    assert await desk.journal.prune_bodies(desk.now) == 3
    first, second = await desk.entries()
    assert first.request is not None
    assert second.request is not None
    assert (first.request["id"], first.request["body"], first.request["folded"]) == (old, None, True)
    assert "folded" not in second.request
    assert second.request["body"] == {"data": {"type": "profile"}}
    assert (await desk.journal.verify_audit())[:2] == (2, None)
    (open_still,) = await desk.journal.requests_in_doubt([CONNECTION])
    assert (open_still.id, open_still.intent.body) == (open_request, b'{"data":{"type":"profile"}}')
    assert len(await desk.journal.taken_slots("MpEmbr", 0)) == 1
    assert await desk.journal.prune_bodies(desk.now) == 0
