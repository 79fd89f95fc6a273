"""A journal of an older schema is copied, whole and private, before it is brought up to date, where there is room."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from askel_tui.store.journal.notice_rows import DeliveryPosition
from askel_tui.store.paths import backup_dir, journal_file
from askel_tui.store.sqlite import backup
from askel_tui.store.sqlite.journal import open_journal
from askel_tui.store.sqlite.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, TABLES
from tests.unit.journal.samples import CONNECTION, NOW, operation

OLDER = range(1, SCHEMA_VERSION)


def slots_table(version: int) -> str:
    """What the table of slots is called in a version."""
    return "slots" if version >= 5 else "places"


def make_old(home: Path, version: int) -> None:
    """Makes a journal of an older schema with a rate-limit slot and a notice in it."""
    with closing(sqlite3.connect(journal_file(home))) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.executescript(TABLES)
        for step in range(1, version):
            old.executescript(MIGRATIONS[step])
        old.execute(
            f"INSERT INTO {slots_table(version)} (account, call, taken, ends) VALUES ('acct', 'call', ?, ?)",
            (NOW, NOW),
        )
        old.execute(
            "INSERT INTO notices (at, connection, workflow, step, kind, text) VALUES (1, 'c', 'w', 's', 'hold', 't')"
        )
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        old.commit()


def copies(home: Path) -> Sequence[Path]:
    """What lies in the directory of backups, oldest first."""
    return sorted(backup_dir(home).glob("*")) if backup_dir(home).exists() else []


async def open_and_close(home: Path) -> list[str]:
    """Opens a journal as the program does; gives the texts of its notices."""
    journal = await open_journal(home)
    try:
        assert await journal.taken_slots("acct", NOW) == [("call", NOW, None)]
        await journal.save_delivery("address", DeliveryPosition(1))
        assert await journal.delivery("address", None) == DeliveryPosition(1)
        assert await journal.requests_in_doubt([CONNECTION]) == []
        return [notice.text for notice in await journal.notices()]
    finally:
        await journal.close()


@pytest.mark.parametrize("version", OLDER)
async def test_a_journal_of_an_older_schema_is_copied_and_then_brought_up_to_date(
    tmp_path: Path, version: int
) -> None:
    make_old(tmp_path, version)
    assert await open_and_close(tmp_path) == ["t"]
    [copy] = copies(tmp_path)
    assert copy.name.endswith(f"-schema-{version}.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert backup_dir(tmp_path).stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("PRAGMA user_version").fetchone() == (version,)
        assert copied.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert copied.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copied.execute(f"SELECT call, taken FROM {slots_table(version)}").fetchall() == [("call", NOW)]
    assert await open_and_close(tmp_path) == ["t"]
    assert copies(tmp_path) == [copy]


async def test_a_copy_can_take_the_journals_place(tmp_path: Path) -> None:
    make_old(tmp_path, 1)
    await open_and_close(tmp_path)
    [copy] = copies(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(copy, journal_file(again))
    assert await open_and_close(again) == ["t"]


async def test_a_new_journal_is_not_copied(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    await journal.close()
    assert copies(tmp_path) == []


async def test_only_the_newest_copies_stay_and_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    backup_dir(tmp_path).mkdir()
    for name in ("journal-20250101T000000Z-0-schema-1.db", "journal-20250102T000000Z-0-schema-2.db"):
        (backup_dir(tmp_path) / name).write_bytes(b"older")
    (backup_dir(tmp_path) / "journal-20250103T000000Z-0-schema-3.db.tmp").write_bytes(b"half")
    (backup_dir(tmp_path) / "notes.txt").write_bytes(b"mine")
    make_old(tmp_path, 4)
    await open_and_close(tmp_path)
    kept = [path.name for path in copies(tmp_path)]
    assert len(kept) == backup.KEPT_BACKUPS + 1
    assert kept[0] == "journal-20250102T000000Z-0-schema-2.db"
    assert kept[1].endswith("-schema-4.db")
    assert kept[2] == "notes.txt"


async def test_where_the_disk_has_no_room_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_old(tmp_path, 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=backup.RESERVED_BYTES))
    with caplog.at_level(logging.WARNING):
        texts = await open_and_close(tmp_path)
    assert copies(tmp_path) == []
    assert (
        "was not copied before its schema changed: that needs 67 MB, and the disk has 67 MB left" in texts[1]
    )
    assert caplog.messages == [texts[1]]


async def test_where_the_copy_fails_it_says_so_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(tmp_path, 4)

    def failing(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backup, "sync_directory", failing)
    texts = await open_and_close(tmp_path)
    assert "Input/output error" in texts[1]
    assert not [path for path in copies(tmp_path) if path.name.endswith(".tmp")]


async def test_a_hold_of_an_older_schema_becomes_one_of_each_version_that_it_keeps(tmp_path: Path) -> None:
    make_old(tmp_path, 5)
    with closing(sqlite3.connect(journal_file(tmp_path))) as old:
        old.execute(
            "INSERT INTO workflows VALUES ('w', 'c', 'active', 3, 9, NULL), ('v', 'c', 'active', 1, 9, NULL)"
        )
        old.execute(
            "INSERT INTO holds (connection, workflow, step, cause, detail, since, waiting) "
            "VALUES ('c', 'w', 'list', 'target_gone', 'gone', 5, 3), ('c', 'v', 'tier', 'person', 'why', 6, 0)"
        )
        old.executemany(
            "INSERT INTO operations (connection, workflow, version, record_seq, record, idx, step, gate, state, hold, "
            "body) VALUES ('c', 'w', ?, ?, 'r', 0, 'list', 0, 1, 'list', x'00')",
            [(1, 1), (1, 2), (2, 3)],
        )
        kinds = ("release", "hold", "hold")
        old.executemany(
            "INSERT INTO audit (seq, at, actor, workflow, step, kind, status, attempts, hash) "
            "VALUES (?, 1, 'askel', 'w', 'list', ?, 'done', 0, x'00')",
            list(enumerate(kinds, 4)),
        )
        old.commit()
    journal = await open_journal(tmp_path)
    try:
        holds = [(*hold.key, hold.cause, hold.since, hold.waiting) for hold in await journal.holds()]
    finally:
        await journal.close()
    assert holds == [
        ("w", 1, "list", "target_gone", 5, 2),
        ("w", 2, "list", "target_gone", 5, 1),
        ("w", 3, "list", "target_gone", 5, 0),
        ("v", 1, "tier", "person", 6, 0),
    ]
    with closing(sqlite3.connect(journal_file(tmp_path))) as new:
        assert new.execute("SELECT entry FROM holds WHERE workflow = 'w'").fetchall() == [(4,)] * 3


async def test_the_queue_of_an_older_schema_keeps_its_order_and_its_requests(tmp_path: Path) -> None:
    """Operations get room between them; what was tried before may have been written, and is never planned anew."""
    make_old(tmp_path, 5)
    body = operation("r", "tier").encode()
    with closing(sqlite3.connect(journal_file(tmp_path))) as old:
        old.execute("INSERT INTO counters (workflow, connection, waiting) VALUES ('w', 'c', 3)")
        old.execute(
            "INSERT INTO requests (id, connection, account, call, method, path, revision, key, opened, digest, "
            "operations, body) VALUES (9, 'c', 'a', 'create_or_update_profile', 'POST', '/', '2026-07-15', 'k', 1, "
            "x'00', '[3]', x'7b7d')"
        )
        old.executemany(
            "INSERT INTO operations (connection, workflow, version, record_seq, record, idx, step, gate, state, "
            "attempts, request, failure, body) VALUES ('c', 'w', 1, ?, 'r', 0, 'tier', 0, ?, ?, ?, ?, ?)",
            [
                (1, 0, 0, None, None, body),
                (2, 0, 4, None, None, body),
                (3, 0, 0, 9, None, body),
                (4, 2, 1, None, 1, body),
            ],
        )
        old.execute(
            "INSERT INTO failures (connection, workflow, version, record_seq, record, step, reason, at, operation) "
            "VALUES ('c', 'w', 1, 4, 'r', 'tier', 'no', 1, 4)"
        )
        old.commit()
    journal = await open_journal(tmp_path)
    try:
        waiting = await journal.waiting_operations(["c"], 0, 10)
        [unanswered] = await journal.requests_in_doubt(["c"])
        [failure] = await journal.failures("w")
    finally:
        await journal.close()
    assert [each.record_seq for each in waiting] == [1, 2]
    assert [each.record_seq for each in unanswered.operations] == [3]
    assert failure.operation is not None
    assert failure.operation.record_seq == 4
    with closing(sqlite3.connect(journal_file(tmp_path))) as new:
        marks = new.execute("SELECT seq, mark FROM operations ORDER BY seq").fetchall()
        (newest,) = new.execute("SELECT seq FROM sqlite_sequence WHERE name = 'operations'").fetchone()
    gaps = [after - before for (before, _), (after, _) in pairwise(marks)]
    assert min(gaps) > 1
    assert newest == marks[-1][0]
    assert [bool(mark) for _, mark in marks] == [False, True, False, True]
