"""The environment of the tests: the same on any machine, in any zone, locale and home.

The process that starts pytest makes a folder for the run, which its workers and all that they start share: a home
directory without the user's files, a key file that opens vaults at once, and a cache for compiled modules.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path

FOLDER = "TESTS_FOLDER"
"""Names the folder of the run; set by the process that made it."""

OUTER_HOME = "TESTS_OUTER_HOME"
"""The user's own home directory, for tests that install packages as the user would."""

SHIFT_DAYS = "TESTS_CLOCK_SHIFT_DAYS"
"""By how many days the clock is shifted; set by `tests.support.clocks`, which chooses the zone and locale too."""

_LEAKING = ("ASKEL_", "XDG_", "LC_", "TEXTUAL")
_LEFT_OUT = (
    "LANG",
    "LANGUAGE",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CREDENTIALS_DIRECTORY",
    "COLORTERM",
    "COLUMNS",
    "LINES",
)
_KEPT = ("ASKEL_RECORD",)
_FAST_TEMPORARY = Path("/dev/shm")
"""A disk in memory, where there is one: nothing that tests leave has to outlive the machine."""

_ROOM_BYTES = 2_000_000_000
_made_here: list[Path] = []


def isolate(environ: MutableMapping[str, str]) -> None:
    """Takes the user's settings out of an environment, and puts in what is the same everywhere."""
    for name in [*environ]:
        if name not in _KEPT and (name.startswith(_LEAKING) or name in _LEFT_OUT):
            if SHIFT_DAYS in environ and name in ("LC_ALL", "LANG"):
                continue
            del environ[name]
    if SHIFT_DAYS not in environ:
        environ.update(TZ="UTC", LC_ALL="C.UTF-8")
    time.tzset()
    environ.update(TERM="xterm-256color")
    if not Path(environ.get(FOLDER, "-")).is_dir():
        folder = Path(tempfile.mkdtemp(prefix="askel-tests-", dir=_temporary()))
        environ[FOLDER] = str(folder)
        _made_here.append(folder)
        environ.setdefault(OUTER_HOME, environ.get("HOME", ""))
        (folder / "home").mkdir()
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(b"k" * 32)
        environ["HOME"] = str(folder / "home")
        environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))
        _compile_once(environ)


def _temporary() -> Path | None:
    try:
        if shutil.disk_usage(_FAST_TEMPORARY).free > _ROOM_BYTES and os.access(_FAST_TEMPORARY, os.W_OK):
            return _FAST_TEMPORARY
    except OSError:
        pass
    return None


def _compile_once(environ: MutableMapping[str, str]) -> None:
    """Lets the many processes of a run share compiled modules, whatever the user's settings are."""
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def as_user() -> dict[str, str]:
    """The environment with the user's own home, for what installs packages: caches and indexes are named there."""
    return {**os.environ, "HOME": os.environ[OUTER_HOME]}


def vault_key() -> dict[str, str]:
    """Variables that open a test's vault: a key file, because a passphrase costs a fifth of a second each time."""
    return {"ASKEL_VAULT_KEY_FILE": str(Path(os.environ[FOLDER]) / "key")}


def clean_up() -> None:
    """Removes the folder of the run, in the process that made it."""
    for folder in _made_here:
        shutil.rmtree(folder, ignore_errors=True)
