"""The secret that opens the vault: read from the environment, never stored beside the data."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from askel_tui.store.errors import VaultLocked

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES = 32
"""The number of bytes in a key file."""

_MAKE = "make one with: umask 077; head -c 32 /dev/urandom > FILE"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The secret that opens the vault. `source` says for people where it was found."""

    kind: Literal["passphrase", "key"]
    secret: bytes = field(repr=False)
    source: str


def find_master_key(environ: Mapping[str, str]) -> MasterKey | None:
    """Finds the master key in systemd's credential `askel-master`, `ASKEL_VAULT_KEY_FILE` or `ASKEL_VAULT_KEY`, the
    first that is set.

    None where none is set. Raises `VaultLocked` for a key file that is missing, open to others, a symbolic
    link or not 32 bytes.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and os.path.lexists(credential := Path(credentials) / "askel-master"):
        # systemd guards the directory and keeps the files its own, so owner and mode say nothing here.
        return MasterKey("key", _read_key(credential, private=False), "systemd's credential askel-master")
    if file := environ.get("ASKEL_VAULT_KEY_FILE"):
        return MasterKey("key", _read_key(Path(file), private=True), "ASKEL_VAULT_KEY_FILE")
    if passphrase := environ.get("ASKEL_VAULT_KEY"):
        return MasterKey("passphrase", os.fsencode(passphrase), "ASKEL_VAULT_KEY")
    return None


def _read_key(path: Path, *, private: bool) -> bytes:
    try:
        # O_NONBLOCK: a pipe in its place must not make Askel wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise VaultLocked(f"the key file {path} is a symbolic link; name the file itself") from None
        reason = (error.strerror or str(error)).lower()
        raise VaultLocked(f"the key file {path} can't be read: {reason}; {_MAKE}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise VaultLocked(f"the key file {path} is not a file; {_MAKE}")
        if private and status.st_uid != os.geteuid():
            raise VaultLocked(
                f"the key file {path} belongs to another user; it must be yours, and yours alone"
            )
        if private and status.st_mode & 0o077:
            raise VaultLocked(
                f"the key file {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}); "
                f"run: chmod 600 {path}"
            )
        content = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) != KEY_BYTES:
        size = f"{len(content)}" if len(content) < KEY_BYTES else f"more than {KEY_BYTES}"
        raise VaultLocked(f"the key file {path} holds {size} bytes instead of {KEY_BYTES}; {_MAKE}")
    return content
