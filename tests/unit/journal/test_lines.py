"""The journal keeps what links identifiers, and says when one links too many."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from askel_tui.core.lines import identifier_numbers
from askel_tui.core.operations import Identity
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import JoinedLines, encode_run
from askel_tui.store.paths import journal_file
from askel_tui.store.sqlite.journal import open_journal
from tests.unit.journal.samples import CONNECTION, EVERYTHING, NOW, Desk, operation
from tests.unit.journal.test_backup import make_old

PHONE = "+442079460123"


async def plan(desk: Desk, people: list[Identity]) -> list[tuple[int, ...]]:
    """Plans one record for each of them; gives the lines of their operations."""
    await desk.take(len(people))
    records = await desk.journal.records_after(CONNECTION, desk.position, 100)
    runs = []
    for each, who in zip(records, people, strict=True):
        one = operation(each.record.id, "tier")
        runs.append(
            encode_run(each.seq, each.record.id, [type(one)(one.id, one.step, one.kind, one.call, who)])
        )
    before, desk.position = desk.state(), records[-1].seq
    return [tuple(each.lines) for each in await desk.journal.commit_runs(before, runs, desk.position, NOW)]


async def test_links_are_there_after_the_journal_was_closed(tmp_path: Path) -> None:
    both, mail, phone = Identity("a@x.example", PHONE), Identity("a@x.example"), Identity(None, PHONE)
    journal = await open_journal(tmp_path / "j.db")
    desk = Desk(journal)
    await plan(desk, [both])
    await journal.close()
    desk.journal = await open_journal(tmp_path / "j.db")
    [one], [other] = await plan(desk, [mail, phone])
    assert one == other
    waiting = await desk.journal.waiting_operations([CONNECTION], 0, 10)
    assert {tuple(each.lines) for each in waiting} == {(one,)}
    assert (
        await desk.journal.lines_of("oak", [identifier_numbers(each) for each in (mail, phone)])
        != [(one,)] * 2
    )
    await desk.journal.close()


async def test_lines_that_become_one_are_reported(journal: Journal) -> None:
    heard: list[JoinedLines] = []
    journal.line_listeners.append(heard.append)
    mail, phone = await plan(Desk(journal), [Identity("a@x.example"), Identity(None, PHONE)])
    await journal.answer_request(
        None, profiles={"P1": Identity("a@x.example", PHONE)}, connection=CONNECTION, now=NOW
    )
    assert heard == [[(max(*mail, *phone), min(*mail, *phone))]]


async def test_a_phone_of_six_people_is_reported_once(journal: Journal) -> None:
    desk = Desk(journal)
    await plan(desk, [Identity(f"p{number}@x.example", PHONE) for number in range(8)])
    await plan(desk, [Identity(f"q{number}@x.example", PHONE) for number in range(8)])
    [notice] = await journal.notices()
    assert "the phone number of record evt-000005" in notice.text
    assert PHONE not in notice.text
    entries = await journal.audit_entries(EVERYTHING)
    assert [entry.kind for entry in entries] == ["shared_identifier"]


async def test_an_identifier_that_a_job_may_have_moved_is_searched_again(journal: Journal) -> None:
    """The answers to import jobs show no profiles: what was remembered of the phone is another person's now."""
    desk = Desk(journal)
    await journal.answer_request(
        None,
        profiles={"P1": Identity("a@x.example", PHONE), "P2": Identity("b@x.example")},
        connection=CONNECTION,
        now=NOW,
    )
    await plan(desk, [Identity("a@x.example", PHONE)])
    await desk.send(await desk.waiting())
    keys = ["email:a@x.example", "email:b@x.example", f"phone_number:{PHONE}"]
    assert await journal.profile_ids(CONNECTION, keys) == dict(zip(keys, ["P1", "P2", "P1"], strict=True))
    await plan(desk, [Identity("b@x.example", PHONE)])
    await desk.send(await desk.waiting())
    assert await journal.profile_ids(CONNECTION, keys) == dict(zip(keys, ["P1", "P2"], strict=False))


async def test_a_journal_of_before_knows_what_its_audit_and_its_queue_linked(tmp_path: Path) -> None:
    make_old(tmp_path, 5)
    planned = operation("evt-000001", "tier")
    waiting = type(planned)(
        planned.id, planned.step, planned.kind, planned.call, Identity("b@x.example", None, "S-2")
    )
    with closing(sqlite3.connect(journal_file(tmp_path))) as old:
        old.execute(
            "INSERT INTO audit (seq, at, actor, connection, kind, status, attempts, hash, profile, operation) "
            "VALUES (1, 1, 'a', ?, 'upsert_profile', 'written', 1, x'00', ?, x'01')",
            (CONNECTION, f'{{"email":"a@x.example","phone_number":"{PHONE}"}}'),
        )
        old.execute(
            "INSERT INTO operations (connection, workflow, version, record_seq, record, idx, step, gate, state, body) "
            "VALUES (?, 'w', 1, 1, 'evt-000001', 0, 'tier', 0, 0, ?)",
            (CONNECTION, waiting.encode()),
        )
        old.commit()
    journal = await open_journal(tmp_path)
    people = [
        Identity("a@x.example"), Identity(None, PHONE), Identity("b@x.example"), Identity(external_id="S-2")
    ]  # fmt: skip
    lines = await journal.lines_of(CONNECTION, [identifier_numbers(each) for each in people])
    assert lines[0] == lines[1] != lines[2] == lines[3]
    await journal.close()
