"""TinyDB on a file that survives crashes and other processes.

TinyDB's own storage rewrites its file in place and knows no lock. Here every change reads, changes and replaces the
file under one lock, and every read sees a whole file.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Document, Table

from askel_tui.store.atomic_files import read_file, replace_file
from askel_tui.store.errors import CorruptState, HomeUnusable
from askel_tui.store.locks import locked

if TYPE_CHECKING:
    from tinydb.queries import QueryLike

Tables = dict[str, dict[str, Any]]
Fields = Mapping[str, Any] | Callable[[MutableMapping[str, Any]], None]

_Stamp = tuple[int, int, int, int]
"""The state of a file: device, inode, modification time in ns, and size."""


class CrashSafeStorage(Storage):
    """A storage of one JSON file. The value of `read` is shared outside of `locked`, and must not be changed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._section = threading.RLock()
        self._section_thread: int | None = None
        self._depth = 0
        self._cache: tuple[_Stamp, Tables | None] | None = None
        self._cache_file: int | None = None
        self._cache_lock = threading.Lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds a read-modify-write section that no other thread or process interrupts; re-entrant in a thread."""
        with self._section:
            if self._depth:
                yield
                return
            with locked(self.path):
                self._depth, self._section_thread = 1, threading.get_ident()
                try:
                    yield
                finally:
                    self._depth, self._section_thread = 0, None

    def read(self) -> Tables | None:
        """Returns the tables, or None where there is no file yet. Raises `CorruptState`, `HomeUnusable`."""
        if self._section_thread == threading.get_ident():
            # Changes are made in place, so a section works on a copy of its own.
            content = read_file(self.path)
            return self._parse(content) if content else None
        with self._cache_lock:
            stamp = self._file_stamp()
            if self._cache is None or self._cache[0] != stamp or stamp is None:
                self._load()
            return self._cache[1] if self._cache else None

    def write(self, data: Tables) -> None:
        """Replaces the file. Raises `HomeUnusable`; the old content is then still there."""
        text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
        with self.locked():
            # json.loads reads lone surrogates back from such bytes.
            replace_file(self.path, text.encode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """Closes the file that the cache keeps open."""
        with self._cache_lock:
            self._drop_cache()

    def __del__(self) -> None:
        self._drop_cache()

    def _file_stamp(self) -> _Stamp | None:
        try:
            return _stamp(os.stat(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusable.unwritable(self.path, error) from None

    def _load(self) -> None:
        self._drop_cache()
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HomeUnusable.unwritable(self.path, error) from None
        # Open as long as its content is cached: its inode number is then given to no other file.
        self._cache_file = descriptor
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        self._cache = (_stamp(os.fstat(descriptor)), self._parse(content) if content else None)

    def _drop_cache(self) -> None:
        self._cache = None
        descriptor, self._cache_file = self._cache_file, None
        if descriptor is not None:
            os.close(descriptor)

    def _parse(self, content: bytes) -> Tables:
        try:
            tables = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._corrupt(f"it is no JSON ({error})") from None
        if not isinstance(tables, dict) or not all(_is_table(table) for table in tables.values()):
            raise self._corrupt("it holds something else than Askel's tables")
        return tables

    def _corrupt(self, problem: str) -> CorruptState:
        return CorruptState(self.path, problem, "restore it from a backup, or move it away to start anew")


class LockedTable(Table):
    """A TinyDB table whose changes are one section each, and which sees what other processes changed."""

    def __init__(self, storage: CrashSafeStorage, name: str) -> None:
        # No query cache: it would not see the writes of other processes.
        super().__init__(storage, name, cache_size=0)
        self._file = storage

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._file.locked():
            self._next_id = None
            yield

    def insert(self, document: Mapping[str, Any]) -> int:
        with self._changing():
            return super().insert(document)

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        with self._changing():
            return super().insert_multiple(documents)

    def update(
        self, fields: Fields, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None
    ) -> list[int]:
        with self._changing():
            return super().update(fields, cond, doc_ids)

    def update_multiple(self, updates: Iterable[tuple[Fields, QueryLike]]) -> list[int]:
        with self._changing():
            return super().update_multiple(updates)

    def upsert(self, document: Mapping[str, Any], cond: QueryLike | None = None) -> list[int]:
        with self._changing():
            return super().upsert(document, cond)

    def remove(self, cond: QueryLike | None = None, doc_ids: Iterable[int] | None = None) -> list[int]:
        with self._changing():
            return super().remove(cond, doc_ids)

    def truncate(self) -> None:
        with self._changing():
            super().truncate()


class DocumentStore(TinyDB):
    """TinyDB over a `CrashSafeStorage` with locked tables."""

    table_class = LockedTable  # type: ignore[assignment]  # tinydb annotates the value, not the type

    def __init__(self, path: Path) -> None:
        super().__init__(path, storage=CrashSafeStorage)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes several changes in the block as one section: see `CrashSafeStorage.locked`."""
        storage = self.storage
        assert isinstance(storage, CrashSafeStorage)
        with storage.locked():
            yield

    def documents(self, table: str) -> list[Document]:
        """Returns all documents of a table, in order of insertion."""
        return self.table(table).all()

    def drop_table(self, name: str) -> None:
        with self.locked():
            super().drop_table(name)

    def drop_tables(self) -> None:
        with self.locked():
            super().drop_tables()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _is_table(table: object) -> bool:
    return isinstance(table, dict) and all(
        key.isdigit() and isinstance(document, dict) for key, document in table.items()
    )
