"""The embedded file in trouble: locked, full, damaged, foreign, changed by hand. One clear sentence each."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.interface import Journal
from askel_tui.store.sqlite import connection as sqlite_connection
from askel_tui.store.sqlite.connection import connect, explain_error
from askel_tui.store.sqlite.journal import open_journal
from askel_tui.store.sqlite.schema import prepare_schema
from askel_tui.store.sqlite.writing.writer import ThreadWriter, write
from tests.unit.journal.samples import CONNECTION, NOW, Desk, decision, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    opened = await open_journal(path)
    yield opened
    await opened.close()


async def test_the_file_is_private_and_set_up_for_many_processes(journal: Journal, path: Path) -> None:
    await journal.write_decision(decision("connect"), NOW)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA page_size").fetchone() == (8192,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


async def test_a_lock_that_stays_is_an_error_and_nothing_is_lost(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "LOCK_TIMEOUT_S", 0.05)
    await journal.accept_records(CONNECTION, [record(1)], NOW)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            JournalError, match=r"journal\.db was locked by another process .* then try again"
        ):
            await journal.accept_records(CONNECTION, [record(2)], NOW)
        # Readers are not in its way.
        assert await journal.last_record_seq(CONNECTION) == 1
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert await journal.accept_records(CONNECTION, [record(1), record(2)], NOW) == ["same", "new"]


async def test_a_write_waits_for_another_process(journal: Journal, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(journal.accept_records(CONNECTION, [record(2)], NOW))
        assert await journal.last_record_seq(CONNECTION) == 0
        assert not writing.done()
        other.execute("COMMIT")
    finally:
        other.close()
    assert await writing == ["new"]


async def test_a_full_disk_is_an_error_and_nothing_acknowledged_is_lost(path: Path) -> None:
    connection = connect(path)
    prepare_schema(connection, path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    writer = ThreadWriter(connection, path, lambda: None)

    def store(size: int) -> Callable[[sqlite3.Connection], int]:
        body = b"x" * size
        insert = "INSERT INTO notices (at, kind, text) VALUES (0, 'x', ?)"
        return lambda db: db.execute(insert, (body,)).lastrowid or 0

    works = [store(1), store(400_000), store(1)]
    results: list[object] = list(
        await asyncio.gather(*(write(writer, work) for work in works), return_exceptions=True)
    )
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors
    assert all(isinstance(error, JournalError) and "the disk is full" in str(error) for error in errors)
    # Smaller things still fit: the journal goes on where it was.
    last = await write(writer, store(1))
    await writer.close()
    check = sqlite3.connect(path)
    rows = check.execute("SELECT seq FROM notices ORDER BY seq").fetchall()
    check.close()
    acknowledged = {result for result in results if isinstance(result, int)}
    assert {row[0] for row in rows} == acknowledged | {last}


async def test_one_failing_write_does_not_take_its_neighbours_along(path: Path) -> None:
    connection = connect(path)
    prepare_schema(connection, path)
    writer = ThreadWriter(connection, path, lambda: None)
    attempts = 0

    def half(db: sqlite3.Connection) -> None:
        nonlocal attempts
        attempts += 1
        db.execute("INSERT INTO notices (at, kind, text) VALUES (0, 'x', 'half')")
        raise ZeroDivisionError

    def whole(db: sqlite3.Connection) -> int:
        return db.execute("INSERT INTO notices (at, kind, text) VALUES (0, 'x', 'whole')").lastrowid or 0

    works = [whole, half, whole, half, whole]
    results = await asyncio.gather(*(write(writer, work) for work in works), return_exceptions=True)
    await writer.close()
    assert [type(result) for result in results] == [int, ZeroDivisionError, int, ZeroDivisionError, int]
    check = sqlite3.connect(path)
    assert check.execute("SELECT text, count(*) FROM notices GROUP BY text").fetchall() == [("whole", 3)]
    check.close()
    with pytest.raises(JournalError, match="closed"):
        await write(writer, whole)


def test_a_damaged_file_is_an_error_and_left_as_it_is(path: Path) -> None:
    async def fill() -> None:
        journal = await open_journal(path)
        await journal.accept_records(
            CONNECTION, [record(number, pad="x" * 1000) for number in range(200)], NOW
        )
        await journal.close()

    async def read() -> None:
        journal = await open_journal(path)
        try:
            await journal.records_after(CONNECTION, 0, 1000)
        finally:
            await journal.close()

    asyncio.run(fill())
    good = path.read_bytes()
    path.write_bytes(good[:8192] + os.urandom(len(good) - 8192))
    with pytest.raises(
        JournalError, match=r"journal\.db is damaged .* restore it from a backup or move it away"
    ):
        asyncio.run(read())
    foreign = b"certainly no database, but long enough to be looked at " * 40
    path.write_bytes(foreign)
    with pytest.raises(JournalError, match="is damaged"):
        asyncio.run(read())
    assert path.read_bytes() == foreign


async def test_foreign_and_newer_files_are_refused(path: Path, tmp_path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE somebody (elses INTEGER)")
    foreign.close()
    with pytest.raises(JournalError, match="is no journal of Askel"):
        await open_journal(path)

    newer = tmp_path / "newer.db"
    await (await open_journal(newer)).close()
    later = sqlite3.connect(newer)
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(JournalError, match="newer Askel"):
        await open_journal(newer)


async def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="can't be opened"):
        await open_journal(tmp_path / "missing" / "journal.db")


async def test_errors_of_ours_stay_what_they_are(path: Path) -> None:
    error = sqlite3.ProgrammingError("a mistake of ours")
    assert explain_error(error, path) is error


TAMPERING = [
    "UPDATE audit SET status = 'written' WHERE seq = 3",
    "UPDATE audit SET at = at + 1 WHERE seq = 3",
    'UPDATE audit SET response = \'{"detail":"nothing happened"}\' WHERE seq = 3',
    "UPDATE audit SET response = 'no json' WHERE seq = 3",
    'UPDATE audit SET profile = \'{"email":"other@x.example"}\' WHERE seq = 3',
    "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
    "UPDATE audit SET hash = zeroblob(32) WHERE seq = 3",
    "UPDATE audit SET request = 1 WHERE seq = 3",
    "DELETE FROM audit WHERE seq = 3",
    "UPDATE requests SET body = x'7b7d' WHERE id = (SELECT request FROM audit WHERE seq = 3)",
    "UPDATE requests SET path = '/api/elsewhere' WHERE id = (SELECT request FROM audit WHERE seq = 3)",
    "DELETE FROM requests WHERE id = (SELECT request FROM audit WHERE seq = 3)",
]


@pytest.mark.parametrize("change", TAMPERING)
async def test_the_chain_shows_where_it_was_changed(journal: Journal, path: Path, change: str) -> None:
    desk = Desk(journal)
    for planned in await desk.planned(2):
        await desk.send([planned], "failed" if planned.index == 2 else "written")
    assert (await journal.verify_audit())[:2] == (6, None)
    _by_hand(path, change)
    checked = await journal.verify_audit()
    assert checked.entries == 2
    assert checked.broken is not None
    assert checked.broken[:2] == ("connection:maple-ember/writes", 3)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq > 4", 5),
        ("DELETE FROM audit", 1),
        ("UPDATE audit_chains SET hash = zeroblob(32) WHERE name LIKE '%/writes'", 7),
    ],
)
async def test_the_chain_shows_what_was_cut_off(
    journal: Journal, path: Path, change: str, broken: int
) -> None:
    desk = Desk(journal)
    for planned in await desk.planned(2):
        await desk.send([planned])
    _by_hand(path, change)
    found = (await journal.verify_audit()).broken
    assert found is not None
    assert found[:2] == ("connection:maple-ember/writes", broken)


def _by_hand(path: Path, change: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(change).rowcount > 0
    connection.close()
