"""Errors of the home and of the keys, in sentences for people. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class StoreError(AskelError):
    """An error of the home or of keys; `str()` is the sentence to show."""


class HomeUnusable(StoreError):
    """The home, or a file in it, cannot be used. `problem` completes "<path> …"."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} {problem}; set ASKEL_HOME to a directory on a local disk that can be written"
        )
        self.path = path

    @classmethod
    def unwritable(cls, path: Path, error: OSError) -> HomeUnusable:
        """Makes the error for a failed write, open or lock."""
        return cls(path, f"can't be written: {(error.strerror or str(error)).lower()}")


class CorruptState(StoreError):
    """A state file holds something else than Askel wrote. It is left as it is."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path} is damaged: {problem}. It was left as it is; {remedy}")
        self.path = path


class LockTimeout(StoreError):
    """A lock was not free in time."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(
            f"another Askel process has kept {path} locked for {seconds:g} s; "
            "end it if it hangs, then try again"
        )
        self.path = path


class AlreadyOwned(StoreError):
    """A refusal, because another process works on this home; `pid` is None where it did not leave its number."""

    def __init__(self, home: Path, pid: int | None) -> None:
        process = f" (process {pid})" if pid is not None else ""
        super().__init__(
            f"another Askel daemon{process} already works on {home}: stop it first, "
            "or set ASKEL_HOME to another directory"
        )
        self.home = home
        self.pid = pid


class InvalidName(StoreError, ValueError):
    """A connection can't have this name."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name[:80]!r} can't be a connection's name: use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


class UnknownConnection(StoreError, LookupError):
    """A connection name that does not exist."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _hint(name, known, "There is none yet: `askel connect NAME --key-stdin` makes one")
        super().__init__(f"no connection is called {name!r}. {hint}")
        self.name = name


class UnknownWorkflow(StoreError, LookupError):
    """A workflow name that does not exist, or a workflow without the wanted version."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = _hint(name, known, "There is none yet: `askel workflow apply FILE` makes one")
        super().__init__(f"no workflow is called {name!r}. {hint}")
        self.name = name


class UnknownStep(StoreError, LookupError):
    """A step that no version of a workflow has."""

    exit_code = ExitCode.USAGE

    def __init__(self, workflow: str, step: str, known: Iterable[str]) -> None:
        hint = _hint(step, known, "It has none")
        super().__init__(f"no step of {workflow} is called {step!r}. {hint}")


class UnknownVersion(UnknownWorkflow):
    """The workflow has no such version."""

    def __init__(self, name: str, version: int, newest: int) -> None:
        StoreError.__init__(self, f"workflow {name!r} has no version {version}; its newest one is {newest}")
        self.name = name


class InvalidKey(StoreError, ValueError):
    """The given text cannot be an API key. The sentence never shows it."""

    exit_code = ExitCode.KEY_OR_SCOPE


class NoSafeKeyring(StoreError):
    """Neither a vault nor a safe keyring is at hand, so no key is stored or read."""

    exit_code = ExitCode.KEY_OR_SCOPE


class KeyringFailed(StoreError):
    """A failure of the operating system's keyring."""

    exit_code = ExitCode.KEY_OR_SCOPE


class VaultLocked(NoSafeKeyring):
    """The vault exists, but the secret that opens it is missing, unfit or wrong."""


class VaultDamaged(StoreError):
    """The vault's bytes are not the ones that Askel wrote."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"the vault {path} was damaged or changed by something else: {problem}. It was left as it is; "
            "restore it from a backup, or move it away and give the keys again with `askel rotate`"
        )
        self.path = path


def _hint(name: str, known: Iterable[str], none: str) -> str:
    names = sorted(known)
    if not names:
        return none
    guess = did_you_mean(name, names)
    return f"Did you mean {guess!r}?" if guess else f"Known: {', '.join(names)}"
