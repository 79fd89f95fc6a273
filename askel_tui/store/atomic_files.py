"""Files that are whole at any moment: replaced, never rewritten; readable by their owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from askel_tui.store.errors import HomeUnusable

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` at `path` (0600), durably: after a crash the file is the old one or the new one, whole.

    Temporary files that killed writers left behind are removed, so the caller holds the file's lock.
    Raises `HomeUnusable`; the old content is then still there.
    """
    try:
        _sweep(path)
        temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            _write(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise HomeUnusable.unwritable(path, error) from None


def read_file(path: Path) -> bytes | None:
    """Reads the content of a file, None where it does not exist. Raises `HomeUnusable`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeUnusable.unwritable(path, error) from None


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Makes a rename in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Deletes temporary files that killed writers left behind."""
    prefix = f"{path.name}.tmp."
    with os.scandir(path.parent) as entries:
        stale = [entry.path for entry in entries if entry.name.startswith(prefix)]
    for name in stale:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
