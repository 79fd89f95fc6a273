"""Locks between processes. The kernel frees them when their process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import time
from typing import TYPE_CHECKING

from askel_tui.store.errors import AlreadyOwned, HomeUnusable, LockTimeout
from askel_tui.store.paths import ownership_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

LOCK_TIMEOUT_S = 30.0
"""Time to wait for a lock that is held for one write at a time, in seconds."""

_OWNED_TIMEOUT_S = 0.25
"""Time to wait for ownership, in seconds: `owner_pid` of another process may hold the lock for an instant."""

_KILLED_TIMEOUT_S = 10.0
"""Time to wait for the journal's writer of an owner that was killed, in seconds: it finishes the writes it was
handed."""


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Holds the lock `<path>.lock` for the block, against other processes and other threads of this one.

    Not re-entrant. The lock file stays: removing it would let two processes lock two different files.
    Raises `LockTimeout` after `timeout` seconds, `HomeUnusable` where the lock file cannot be made.
    """
    descriptor = _open(path.with_name(path.name + ".lock"))
    try:
        if not _lock(descriptor, timeout):
            raise LockTimeout(path, timeout)
        yield
    finally:
        os.close(descriptor)


class OwnershipLock:
    """The right to work on a home: one process has it, until it releases it or dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock and writes this process's number into it. Raises `AlreadyOwned`, `HomeUnusable`."""
        if self._descriptor is not None:
            raise RuntimeError("this lock is already held")
        descriptor = _open(ownership_file(self._home))
        if not _lock(descriptor, _OWNED_TIMEOUT_S):
            pid = _read_pid(descriptor)
            if pid is None or _is_alive(pid) or not _lock(descriptor, _KILLED_TIMEOUT_S):
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
        """The descriptor that holds the lock: a process that inherits it holds the lock too, until it ends."""
        if self._descriptor is None:
            raise RuntimeError("this lock is not held")
        return self._descriptor

    def release(self) -> None:
        """Releases the lock; nothing happens where it is not held."""
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
    """Returns the number of the process that owns the home, 0 if it left none; None where no process owns it."""
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


def _lock(descriptor: int, timeout: float) -> bool:
    """Takes the lock within `timeout` seconds; by polling, because a blocking flock can't time out."""
    end = time.monotonic() + timeout
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
