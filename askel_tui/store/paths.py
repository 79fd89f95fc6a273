"""Every path that Askel writes to, in one place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from askel_tui.store.errors import HomeUnusable

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "davfs", "fuse.sshfs", "fuse.davfs2", "fuse.rclone"}
)
"""File systems where locks don't hold or a rename is not atomic, as /proc/mounts names them."""

_MOUNTS = Path("/proc/mounts")


def default_home() -> Path:
    """Returns the home's path: `ASKEL_HOME`, else the user's data directory. Creates nothing."""
    chosen = os.environ.get("ASKEL_HOME", "")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    import platformdirs

    return Path(platformdirs.user_data_dir("askel", appauthor=False))


def home() -> Path:
    """Returns the home (see `default_home`), created (0700) if it is missing. Raises `HomeUnusable`."""
    return ensure_usable(default_home())


def ensure_usable(directory: Path, mounts: Path = _MOUNTS) -> Path:
    """Creates a directory (0700) if it is missing, and checks that state can be kept there.

    `mounts` is the table of mounted file systems; without one, network file systems are not recognised.
    Raises `HomeUnusable`.
    """
    make_private(directory)
    try:
        # Linux writes octal escapes for whatever is special in a mount point, so the table is plain bytes.
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return directory
    kind = file_system_type(os.path.realpath(directory), table)
    if kind in NETWORK_FILE_SYSTEMS:
        raise HomeUnusable(directory, f"is on a network file system ({kind}), where locks don't hold")
    return directory


def make_private(directory: Path) -> None:
    """Creates a directory and its missing parents, 0700; one that exists keeps its mode.

    Raises `HomeUnusable`.
    """
    try:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HomeUnusable.unwritable(directory, error) from None
    if not directory.is_dir():
        raise HomeUnusable(directory, "is not a directory")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise HomeUnusable(directory, "can't be written: permission denied")


def file_system_type(path: str, mounts: str) -> str | None:
    """Returns the type of the file system that holds an absolute path, by the text of /proc/mounts."""
    best, kind = "", None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def state_file(directory: Path) -> Path:
    """Returns the path of the file of connections, workflows and settings."""
    return directory / "state.json"


def catalog_file(directory: Path, connection: str) -> Path:
    """Returns the path of one connection's catalog. Names that differ in case only get files that differ on any
    disk."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789-_."
    letters = (c if c in plain else "".join(f"%{byte:02x}" for byte in c.encode()) for c in connection)
    return directory / "catalogs" / f"{''.join(letters)}.json"


def journal_file(directory: Path) -> Path:
    """Returns the path of the embedded journal."""
    return directory / "journal.db"


def backup_dir(directory: Path) -> Path:
    """Returns the directory for copies of the journal, made before its schema changed."""
    return directory / "backup"


def idempotent_responses_file(directory: Path) -> Path:
    """Returns the path of the file with answers to requests that carried an Idempotency-Key."""
    return directory / "answers.db"


def listen_address_file(directory: Path) -> Path:
    """Returns the path of the file that says where the HTTP API listens; it exists while the API does."""
    return directory / "listen_address.json"


def vault_file(directory: Path) -> Path:
    """Returns the path of our encrypted vault."""
    return directory / "vault.json"


def ownership_file(directory: Path) -> Path:
    """Returns the path of the file that the process which works on this home locks; it holds its number."""
    return directory / "daemon.lock"


def refused_dir(directory: Path) -> Path:
    """Returns the directory in which `ingest` leaves the lines that it refused."""
    return directory / "refused"


def crashes_dir(directory: Path) -> Path:
    """Returns the directory in which the command line leaves reports of unexpected errors."""
    return directory / "crashes"
