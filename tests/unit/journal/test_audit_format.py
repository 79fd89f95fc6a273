"""The format of the audit: every change of a stored byte is found, erasing is told, and others can verify an export."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import Decision, SettledOperation
from askel_tui.store.journal.tables.audit.checking import AuditCheck, AuditChecker
from askel_tui.store.sqlite.journal import open_journal
from tests.unit.journal.samples import CONNECTION, EVERYTHING, NOW, Desk, decision, hold, intent, record

WRITES, ACCEPTANCES = "account:MpEmbr/writes", "account:MpEmbr/acceptances"
OWN_WRITES = f"connection:{CONNECTION}/writes"
ROWS = [b'{"email":"a@x.example"}', b'{"email":"b@x.example"}', b'{"email":"c@x.example"}']
PACKED = b'{"data":[' + b",".join(ROWS) + b"]}"
"""A body that carries three people."""
PARTS = (9, 24, 24, 23, 2)


async def packed(desk: Desk) -> int:
    """Sends three people in one request; gives its id."""
    planned = await desk.planned(3, ["tier"])
    request = await desk.journal.open_request(replace(intent(planned, PACKED), parts=PARTS), desk.now)
    settled = [SettledOperation(each, "written", 202, None, None, 80) for each in planned]
    await desk.journal.answer_request(request, settled=settled, connection=desk.connection, now=desk.now)
    return request


async def story(journal: Journal) -> None:
    """Entries of every kind: of the home, of a connection before and after its account is known, packed and alone."""
    desk = Desk(journal)
    await desk.send(await desk.planned(2))
    await journal.save_account(CONNECTION, "MpEmbr", NOW)
    await packed(desk)
    await desk.send((await desk.planned(1))[:1], "failed", "Invalid e-mail Übér")
    await journal.add_hold(hold("list"), NOW)
    await journal.write_decision(Decision("token_create", "ada", detail={"name": "shop"}), NOW)


def by_hand(path: Path, *changes: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for change in changes:
            assert db.execute(change).rowcount > 0


async def broken_at(journal: Journal) -> tuple[str, int]:
    found = (await journal.verify_audit()).broken
    assert found is not None
    return found[:2]


async def test_each_account_has_its_chains_and_the_home_one(desk: Desk) -> None:
    await story(desk.journal)
    chains: dict[str, list[int]] = {}
    for entry in await desk.entries():
        chains.setdefault(entry.chain, []).append(entry.seq)
    assert set(chains) == {"home", WRITES, OWN_WRITES}
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in chains.values())
    assert await desk.journal.verify_audit() == AuditCheck(sum(map(len, chains.values())), None, 3, 0)


async def test_a_connection_goes_on_in_the_chain_of_its_account_by_a_joint_entry(desk: Desk) -> None:
    await desk.send(await desk.planned(1))
    last = (await desk.entries())[-1]
    await desk.journal.save_account(CONNECTION, "MpEmbr", NOW)
    await desk.journal.save_account(CONNECTION, "MpEmbr", NOW)  # says nothing new
    joints = await desk.entries(kind="join")
    assert [(each.chain, each.seq, each.actor) for each in joints] == [
        (WRITES, 1, "askel"),
        (WRITES, 2, "askel"),
    ]
    own = {"type": "chain", "name": OWN_WRITES, "seq": last.seq, "hash": last.hash}
    assert own in [each.target for each in joints]
    await desk.send(await desk.planned(1))
    assert {each.chain for each in await desk.entries() if each.position > joints[-1].position} == {WRITES}
    assert (await desk.journal.verify_audit()).broken is None


async def test_a_chain_that_goes_on_after_its_joint_entry_is_found(journal: Journal, tmp_path: Path) -> None:
    await story(journal)
    by_hand(
        tmp_path / "journal.db",
        f"DELETE FROM audit WHERE seq = (SELECT last FROM audit_chains WHERE name = '{OWN_WRITES}')",
        f"UPDATE audit_chains SET number = number - 1, last = last - 1, hash = (SELECT hash FROM audit "
        f"WHERE seq = audit_chains.last - 1) WHERE name = '{OWN_WRITES}'",
    )
    assert (await broken_at(journal))[0] in (WRITES, OWN_WRITES)


async def test_a_name_used_again_begins_a_chain_of_its_own(desk: Desk) -> None:
    await desk.send(await desk.planned(1))
    for account in ("MpEmbr", None):
        await desk.journal.save_account(CONNECTION, account, NOW)
    await desk.journal.write_decision(decision("connect"), NOW)
    assert (await desk.entries())[-1].chain == f"connection:{CONNECTION}~2/writes"
    assert (await desk.journal.verify_audit()).broken is None


async def test_one_acceptance_for_each_commit_and_account(journal: Journal) -> None:
    """Writes that arrive together are one commit; what is refused or known already is in no acceptance."""
    await journal.save_account(CONNECTION, "MpEmbr", NOW)
    await asyncio.gather(
        *(journal.accept_records(CONNECTION, [record(number)], NOW) for number in range(40)),
        journal.accept_records("second", [record(1), record(2)], NOW),
        *(journal.accept_records(CONNECTION, [record(number)], NOW) for number in range(40)),
    )
    rows = await journal.acceptance_rows(0, 1_000)
    count = dict.fromkeys((ACCEPTANCES, "connection:second/acceptances"), 0)
    for row in rows:
        assert len(row["parts"]) == sum(last - first + 1 for first, last in row["target"]["ranges"])
        count[row["chain"]] += len(row["parts"])
    assert list(count.values()) == [40, 2]
    assert len(rows) < 20
    assert (await journal.verify_audit())[2:] == (len(rows), 0, ())


async def test_what_was_rolled_back_is_in_no_acceptance(journal: Journal) -> None:
    good = [journal.accept_records(CONNECTION, [record(number)], NOW) for number in range(3)]
    half = journal.accept_records(CONNECTION, [record(7), replace(record(8), id="x" * 10, event=None)], NOW)  # type: ignore[arg-type]
    results = await asyncio.gather(good[0], half, *good[1:], return_exceptions=True)
    assert isinstance(results[1], Exception)
    assert sum(len(row["parts"]) for row in await journal.acceptance_rows(0, 10)) == 3
    assert (await journal.verify_audit()).broken is None


async def test_the_source_of_randomness_is_the_one_that_was_handed_in(tmp_path: Path) -> None:
    """The same history with the same source gives the same bytes."""
    hashes = []
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
        journal = await open_journal(tmp_path / name, random_bytes=random.Random(name == "other").randbytes)
        await story(journal)
        hashes.append([entry.hash for entry in await journal.audit_entries(EVERYTHING)])
        await journal.close()
    assert hashes[0] == hashes[1]
    assert set(hashes[0]).isdisjoint(hashes[2])


async def test_nothing_of_a_person_can_be_tried_against_what_stays(journal: Journal, tmp_path: Path) -> None:
    await story(journal)
    entry = next(each for each in await journal.audit_entries(EVERYTHING) if each.profile)
    payload = json.dumps(
        {"profile": entry.profile, "response": entry.response}, separators=(",", ":")
    ).encode()
    assert entry.payload not in (hashlib.sha256(payload).hexdigest(), None)
    packed_one = next(each for each in await journal.audit_entries(EVERYTHING) if each.request)
    assert packed_one.request is not None
    assert packed_one.request["sha256"] != hashlib.sha256(PACKED).hexdigest()


async def test_an_erased_payload_is_counted_and_the_rest_holds(journal: Journal, tmp_path: Path) -> None:
    await story(journal)
    whole = await journal.verify_audit()
    entry = next(each for each in await journal.audit_entries(EVERYTHING) if each.profile)
    by_hand(
        tmp_path / "journal.db",
        f"UPDATE audit SET profile = NULL, response = NULL, salt = NULL, erased = x'{entry.payload}' "
        f"WHERE seq = {entry.position}",
    )
    assert await journal.verify_audit() == whole._replace(erased=1, erased_at=((entry.chain, entry.seq),))
    found = [each for each in await journal.audit_entries(EVERYTHING) if each.position == entry.position]
    assert found == [replace(entry, profile=None, response=None)]


async def test_a_person_is_erased_from_a_packed_body_and_the_others_still_verify(
    journal: Journal, tmp_path: Path
) -> None:
    desk = Desk(journal)
    request = await packed(desk)
    evidence = (await journal.entry_evidence([1]))[1]
    part = evidence["parts"][2]
    assert part["text"] == '{"email":"b@x.example"},'
    gone = hashlib.sha256(bytes.fromhex(part["salt"]) + part["text"].encode()).hexdigest()
    body = PACKED.replace(ROWS[1], b"null")
    changes = f"body = x'{body.hex()}', parts = '[9,24,5,23,2]', erased = '{{\"2\":\"{gone}\"}}'"
    salts = "salts = CAST(substr(salts, 1, 32) || zeroblob(16) || substr(salts, 49) AS BLOB)"
    by_hand(tmp_path / "journal.db", f"UPDATE requests SET {changes}, {salts} WHERE id = {request}")
    assert (await journal.verify_audit())[1:] == (None, 1, 1, ((OWN_WRITES, 1),))
    entry = (await journal.audit_entries(EVERYTHING))[0]
    assert entry.request is not None
    assert entry.request["body"] == {"data": [{"email": "a@x.example"}, None, {"email": "c@x.example"}]}
    # One of the others is found when it is changed.
    other = body.replace(b"c@x", b"d@x").hex()
    by_hand(tmp_path / "journal.db", f"UPDATE requests SET body = x'{other}' WHERE id = {request}")
    assert await broken_at(journal) == (OWN_WRITES, 1)


async def test_blanking_without_the_commitment_is_a_change(journal: Journal, tmp_path: Path) -> None:
    await story(journal)
    entry = next(each for each in await journal.audit_entries(EVERYTHING) if each.profile)
    by_hand(tmp_path / "journal.db", f"UPDATE audit SET profile = NULL WHERE seq = {entry.position}")
    assert await broken_at(journal) == (entry.chain, entry.seq)


# Every single change is found.

COVERED = {
    "audit": "*",
    "acceptances": "*",
    "requests": ("id", "method", "path", "digest", "body", "parts", "salts", "erased"),
    "records": ("connection", "id", "event", "received", "actor", "body", "salt"),
}
"""The columns that entries commit to. A record that is missing altogether is one that is kept no longer."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A journal with a story, one payload of which was erased; every test rolls back what it changes."""
    home = tmp_path_factory.mktemp("stored")

    async def make() -> str:
        journal = await open_journal(home, random_bytes=random.Random(7).randbytes)
        await story(journal)
        entries = await journal.audit_entries(EVERYTHING)
        await journal.close()
        return f"x'{entries[1].payload}'"

    gone = asyncio.run(make())
    by_hand(
        home / "journal.db",
        f"UPDATE audit SET profile = NULL, response = NULL, salt = NULL, erased = {gone} WHERE seq = 2",
    )
    db = sqlite3.connect(home / "journal.db", isolation_level=None)
    assert check(db) == AuditCheck(len(rows_of(db, "audit")), None, 3, 1, ((OWN_WRITES, 2),))
    yield db
    db.close()


def check(db: Any) -> AuditCheck:
    checker = AuditChecker()
    assert checker.check_entries(db)
    assert checker.broken is not None or checker.check_acceptances(db)
    return checker.result


def rows_of(db: sqlite3.Connection, table: str) -> list[int]:
    return [row for (row,) in db.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]


def columns_of(db: sqlite3.Connection, table: str) -> list[str]:
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return [name for name in names if COVERED[table] == "*" or name in COVERED[table]]


def changed(value: Any, chance: random.Random) -> Any:
    """Another value: one bit of it, its absence, or its bytes under another type."""
    if value is None:
        return chance.choice([0, "", b"", "null", bytes(32)])
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(40))
    if chance.random() < 0.15:
        return chance.choice([None, value.encode() if isinstance(value, str) else value.hex()])
    if not value:
        return "x" if isinstance(value, str) else b"x"
    data = bytearray(value.encode() if isinstance(value, str) else value)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if isinstance(value, bytes):
        return bytes(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"{value} "


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_single_change_of_a_stored_value_is_found(stored: sqlite3.Connection, seed: int) -> None:
    chance = random.Random(seed)
    table = chance.choice(list(COVERED))
    row, column = chance.choice(rows_of(stored, table)), chance.choice(columns_of(stored, table))
    (value,) = stored.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
    stored.execute("BEGIN")
    try:
        stored.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed(value, chance), row))
        after = stored.execute(
            f"SELECT {column}, typeof({column}) FROM {table} WHERE rowid = ?", (row,)
        ).fetchone()
        assert after is None or after[0] != value
        assert check(stored).broken is not None, (table, row, column, value, after)
    except sqlite3.IntegrityError:
        pass  # SQLite refuses it: nothing was changed.
    finally:
        stored.execute("ROLLBACK")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_rows_that_are_cut_out_or_swapped_are_found(stored: sqlite3.Connection, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(["audit", "acceptances"]))
    rows = rows_of(stored, table)
    one, other = data.draw(st.lists(st.sampled_from(rows), min_size=2, max_size=2, unique=True))
    key = "seq" if table == "audit" else "id"
    stored.execute("BEGIN")
    try:
        if data.draw(st.booleans()):
            stored.execute(f"DELETE FROM {table} WHERE {key} = ?", (one,))
        else:
            for before, after in ((one, -1), (other, one), (-1, other)):
                stored.execute(f"UPDATE {table} SET {key} = ? WHERE {key} = ?", (after, before))
        broken = check(stored).broken
        assert broken is not None
        assert broken.chain
    finally:
        stored.execute("ROLLBACK")
