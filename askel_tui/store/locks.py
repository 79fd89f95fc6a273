"""Locks between processes. The kernel frees them when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import time
from typing import TYPE_CHECKING

from askel_tui.store.errors import AlreadyOwned, Busy, HomeUnusable
from askel_tui.store.paths import ownership_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["AlreadyOwned", "Busy", "OwnershipLock", "locked", "owner_pid"]

LOCK_TIMEOUT_S = 30.0
"""Seconds to wait for a lock that is held for one write at a time."""

_PROBE_PATIENCE = 0.25

_ENDING_PATIENCE = 10.0


@contextlib.contextmanager
def locked(path: Path, patience: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Holds the lock `<path>.lock` for the block, against other processes and other threads of this one.

    Not re-entrant. The lock file stays: removing it would let two processes lock two different files.
    Raises `Busy` after `patience` seconds, `HomeUnusable` where the lock file cannot be made.
    """
    descriptor = _open(path.with_name(path.name + ".lock"))
    try:
        if not _lock(descriptor, patience):
            raise Busy(path, patience)
        yield
    finally:
        os.close(descriptor)


class OwnershipLock:
    """The right to work on a state directory: one process has it, until it releases it or dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock and writes this process's number into it. Raises `AlreadyOwned`, `HomeUnusable`."""
        if self._descriptor is not None:
            raise RuntimeError("this lock is already held")
        descriptor = _open(ownership_file(self._home))
        # `owner` of another process may hold it for an instant, hence the short patience.
        if not _lock(descriptor, _PROBE_PATIENCE):
            pid = _read_pid(descriptor)
            # Of an owner that was killed, what it handed to the journal's writer is being written.
            if pid is None or _is_alive(pid) or not _lock(descriptor, _ENDING_PATIENCE):
                os.close(descriptor)
                raise AlreadyOwned(self._home, pid)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise HomeUnusable.unwritable(self._home, error) from None
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """What holds the lock: a process that inherits it holds it too, until it ends."""
        if self._descriptor is None:
            raise RuntimeError("this lock is not held")
        return self._descriptor

    def release(self) -> None:
        """Gives the lock back; nothing happens when it is not held."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> OwnershipLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def owner_pid(home: Path) -> int | None:
    """The number of the process that owns the state directory, 0 if it left none; None when nobody does."""
    try:
        descriptor = os.open(ownership_file(home), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeUnusable.unwritable(home, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(descriptor) or 0
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HomeUnusable.unwritable(path, error) from None


def _lock(descriptor: int, patience: float) -> bool:
    """Polls, because a blocking flock can neither time out nor say for whom it waits."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(random.uniform(0.0005, 0.005))
        else:
            return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
