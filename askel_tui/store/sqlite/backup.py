"""Copies of the journal, made before its schema changes."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from askel_tui.store.atomic_files import sync_directory
from askel_tui.store.errors import StoreError
from askel_tui.store.paths import backup_dir, make_private
from askel_tui.store.sqlite.connection import connect

log = logging.getLogger(__name__)

KEPT_BACKUPS = 2
"""The number of copies that stay; older ones are deleted once a new one is complete."""

RESERVED_BYTES = 64 * 1024 * 1024
"""The space that a copy must leave free, in bytes, for the schema step itself and for other programs."""


def back_up(journal: Path, version: int) -> str | None:
    """Copies a journal of a schema version into `backup/` beside it, 0600.

    The caller holds the journal's write lock, so that only one process copies, and the copy is what the schema step
    begins with. After a crash a copy is there whole or not at all; none is ever overwritten. Returns None, or why there
    is no copy, as a sentence.
    """
    directory = backup_dir(journal.parent)
    try:
        needed = _size(journal) + RESERVED_BYTES
        free = shutil.disk_usage(journal.parent).free
        if free < needed:
            return _failed(
                journal, f"that needs {_megabytes(needed)}, and the disk has {_megabytes(free)} left"
            )
        make_private(directory)
        _delete(directory.glob("*.tmp*"))  # a process that was killed left them
        copy = _unused_name(directory, version)
        _copy(journal, copy)
        _delete(sorted(directory.glob("journal-*.db"))[:-KEPT_BACKUPS])
    except (OSError, sqlite3.Error, StoreError) as error:
        return _failed(journal, str(error))
    log.info("the journal was copied to %s before its schema changes", copy)
    return None


def _copy(journal: Path, copy: Path) -> None:
    temporary = copy.with_name(f"{copy.name}.tmp")
    # SQLite fills an empty file and keeps its mode.
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with closing(connect(journal)) as source:
            source.execute("VACUUM INTO ?", (str(temporary),))
        with closing(sqlite3.connect(temporary)) as target:
            # VACUUM INTO leaves the mode out, and a program of the copied version would not set it again.
            target.execute("PRAGMA journal_mode = WAL")
        os.fsync(descriptor)
        os.rename(temporary, copy)
        sync_directory(copy.parent)
    except BaseException:
        _delete([temporary])
        raise
    finally:
        os.close(descriptor)


def _size(journal: Path) -> int:
    """Returns the bytes of the journal and its write-ahead log."""
    wal = journal.with_name(f"{journal.name}-wal")
    return journal.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _unused_name(directory: Path, version: int) -> Path:
    stem = f"journal-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    number = 0
    while (path := directory / f"{stem}-{number}-schema-{version}.db").exists():
        number += 1
    return path


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _failed(journal: Path, why: str) -> str:
    return f"The journal {journal} was not copied before its schema changed: {why}."


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
