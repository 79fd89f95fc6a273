"""Whatever order one person's records were written in before it was known: the newest value of each field stays."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity, Operation
from askel_tui.store.journal.rows import LateLine, SettledOperation, StoredOperation, encode_run
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.unit.journal.samples import CONNECTION, NOW, Desk, intent, operation

EMAIL, PHONE, OTHER = Identity("a@x.example"), Identity(None, "+44201"), Identity("b@x.example", "+44201")
"""Two names of one person, as Klaviyo's answers show, and somebody with the same phone number."""
VALUES = st.dictionaries(
    st.sampled_from(["Tier", "Points", "City"]), st.integers(0, 9), min_size=1, max_size=3
)
RECORDS = st.lists(st.tuples(st.sampled_from([EMAIL, PHONE, OTHER]), VALUES), min_size=2, max_size=6)


class Account:
    """What an account keeps of the two people."""

    def __init__(self) -> None:
        self.values: dict[bool, dict[str, int]] = {True: {}, False: {}}

    def write(self, one: Operation) -> None:
        mine = self.values[one.profile == OTHER]
        mine |= one.body["properties"]
        for name in one.body["unset"]:
            mine.pop(name, None)


async def send(desk: Desk, account: Account, one: StoredOperation) -> None:
    who = one.operation.profile
    attributes = {**who.identifiers(), "properties": one.operation.body["properties"]}
    body = canonical_json({"data": {"type": "profile", "attributes": attributes}})
    request = await desk.journal.open_request(intent([one], body), NOW)
    account.write(one.operation)
    shown = {"P2": Identity("b@x.example")} if who == OTHER else {"P1": Identity("a@x.example", "+44201")}
    await desk.journal.answer_request(
        request,
        settled=[SettledOperation(one, "written", 200)],
        profiles=shown,
        connection=CONNECTION,
        now=NOW,
    )


async def plan(desk: Desk, records: Sequence[tuple[Identity, Mapping[str, int]]]) -> list[StoredOperation]:
    await desk.take(len(records))
    runs = []
    for stored, (who, values) in zip(
        await desk.journal.records_after(CONNECTION, 0, 100), records, strict=True
    ):
        blank = operation(stored.record.id, "tier")
        body: dict[str, Any] = {"attributes": {}, "properties": dict(values), "unset": []}
        one = Operation(blank.id, blank.step, blank.kind, blank.call, who, body=body)
        runs.append(encode_run(stored.seq, stored.record.id, [one]))
    return await desk.journal.commit_runs(desk.state(), runs, len(records), NOW)


async def run(
    records: Sequence[tuple[Identity, Mapping[str, int]]], order: Sequence[int], known_at: int
) -> None:
    account, expected = Account(), Account()
    with tempfile.TemporaryDirectory() as home:
        journal = await open_journal(Path(home) / "j.db")
        desk = Desk(journal)
        planned = await plan(desk, records)
        for one in planned:
            expected.write(one.operation)
        # By phone nothing was known: the answer that shows both identifiers comes in the middle.
        left = {one.seq: one for one in planned}
        sent: list[int] = []
        for number, index in enumerate(order):
            late = number >= known_at
            if late:
                await journal.answer_request(
                    None, profiles={"P1": Identity("a@x.example", "+44201")}, connection=CONNECTION, now=NOW
                )
                newest = max(sent, default=0)
                waiting = [seq for seq, one in left.items() if one.record_seq < newest]
                changed, added = await journal.settle_late_lines([LateLine(waiting, sent)], NOW)
                for seq, stored in changed.items():
                    if stored is None:
                        del left[seq]
                    else:
                        left[seq] = stored
                for again in added:
                    await send(desk, account, again)
            if planned[index].seq in left:
                one = left.pop(planned[index].seq)
                sent.append(one.record_seq)
                await send(desk, account, one)
        await journal.answer_request(
            None, profiles={"P1": Identity("a@x.example", "+44201")}, connection=CONNECTION, now=NOW
        )
        _, added = await journal.settle_late_lines([LateLine((), sent)], NOW)
        for again in added:
            await send(desk, account, again)
        nothing = await journal.settle_late_lines([LateLine((), sent)], NOW)
        await journal.close()
    assert nothing == ({}, [])
    assert account.values == expected.values


@examples(40)
@given(st.data(), RECORDS)
def test_the_newest_value_of_each_field_stays(
    data: st.DataObject, records: list[tuple[Identity, dict[str, int]]]
) -> None:
    order = data.draw(st.permutations(range(len(records))))
    asyncio.run(run(records, order, data.draw(st.integers(0, len(records)))))
