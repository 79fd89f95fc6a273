"""The plan of a folder: what applying it would change in a home, and whether the home has moved since."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from askel_tui.core.canonical import canonical_json
from askel_tui.core.configuration.difference import Change, FieldChange, compare
from askel_tui.core.configuration.model import Configuration
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.problems import Problem
from askel_tui.services.configuration.addresses import secrets_of
from askel_tui.services.configuration.folder import read_configuration, read_files, write_configuration
from askel_tui.services.configuration.home import addresses_of, read_home
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.addresses import NOTIFY_SETTING
from askel_tui.sync.notifications.channels import redacted_address


class InvalidFolder(AskelError):
    """A folder that is no configuration, with all of its problems; nothing was changed."""

    exit_code = ExitCode.REFUSED

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a folder would do."""

    folder: Configuration
    changes: tuple[Change, ...]
    state: str
    """A digest of the folder and of the home that it was compared with."""
    unsent: Mapping[str, int]
    """The operations that each workflow has not sent, by name."""

    @property
    def work(self) -> list[Change]:
        """Returns what is done; what is left is not."""
        return [each for each in self.changes if each.action != "leave"]


async def plan(instance: Instance, directory: Path, *, prune: bool) -> Plan:
    """Compares a folder with the home. Raises `InvalidFolder`."""
    home = await read_home(instance)
    files, problems = await asyncio.to_thread(read_files, directory)
    if not problems:
        folder, problems = read_configuration(files, secrets_of(addresses_of(home)))
    if problems:
        raise InvalidFolder(problems)
    counts = await instance.journal.counts()
    unsent = {name: each.waiting + each.held for name, each in counts.items()}
    return Plan(folder, tuple(compare(folder, home, prune=prune)), _digest(folder, home), unsent)


async def export(instance: Instance, directory: Path) -> list[str]:
    """Writes the home's configuration into a folder; returns the paths of the files that changed. Raises `OSError`."""
    home = await read_home(instance)
    files: Mapping[str, str] = {}
    if await asyncio.to_thread(directory.exists):
        files, _ = await asyncio.to_thread(read_files, directory)
    made = write_configuration(home, files, secrets_of(addresses_of(home)))
    for path, text in made.items():
        await asyncio.to_thread(_write, directory / path, text)
    return sorted(made)


def shown_value(change: Change, field: FieldChange, value: Any) -> Any:
    """Returns a value for people and programs: addresses are redacted."""
    is_address = field.field == "notify" or (change.kind, change.name) == ("setting", NOTIFY_SETTING)
    return [redacted_address(each) for each in value] if is_address and value else value


def _digest(folder: Configuration, home: Configuration) -> str:
    return hashlib.sha256(canonical_json([asdict(folder), asdict(home)])).hexdigest()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    temporary.replace(path)
