"""A sandbox's state in a file: loaded at the start, saved atomically while it runs and when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from askel_tui.sandbox.state import model
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.settings import Settings
from askel_tui.sandbox.state.world import World

if TYPE_CHECKING:
    from pathlib import Path

_SAVE_INTERVAL_S: Final = 5.0
"""Seconds between saves; longer where a save takes long."""
_SCALAR_FIELDS: Final = ("name", "sender", "timezone", "currency", "industry", "website", "integration")
_JSON_FIELDS: Final = ("merged", "requests", "confirmations")
_ROW_TYPES: Final[dict[str, Any]] = {
    "profiles": model.Profile,
    "lists": model.ProfileList,
    "deleted_lists": model.ProfileList,
    "segments": model.Segment,
    "deleted_segments": model.Segment,
    "flows": model.Flow,
    "templates": model.Template,
    "jobs": model.Job,
}


class StateUnreadable(ValueError):
    """A file that is no sandbox's state; the message says so in one sentence."""


def to_json(world: World) -> dict[str, Any]:
    """Converts a world to JSON, without faults, windows and the request log."""
    return {
        "sandbox": 1,
        "settings": world.settings.as_dict(),
        "keys": [
            {"key": key.secret, "account": key.account, "revoked": key.revoked}
            | {"scopes": None if key.scopes is None else sorted(key.scopes)}
            for key in world.keys.values()
        ],
        "accounts": [_account_row(account) for account in world.accounts.values()],
    }


def from_json(data: dict[str, Any]) -> World:
    """Reads a world from the JSON of `to_json`."""
    world = World(Settings().changed(data["settings"]))
    for row in data["accounts"]:
        world.add_account(_restore_account(row))
    for row in data["keys"]:
        scopes = None if row["scopes"] is None else frozenset(row["scopes"])
        world.add_key(row["key"], row["account"], scopes).revoked = row["revoked"]
    return world


def _account_row(account: Account) -> dict[str, Any]:
    row: dict[str, Any] = {"id": account.id}
    row |= {name: getattr(account, name) for name in (*_SCALAR_FIELDS, *_JSON_FIELDS)}
    row |= {name: [asdict(one) for one in getattr(account, name).values()] for name in _ROW_TYPES}
    row["metrics"] = [asdict(one) for one in account.metrics.values()]
    row["events"] = [asdict(one) for one in account.events.values()]
    row["due"] = [
        [due, effect, what] for due, _, effect, what in sorted(account.scheduled, key=lambda one: one[:2])
    ]
    return row


def _restore_account(row: dict[str, Any]) -> Account:
    account = Account(row["id"], row["name"])
    for name in (*_SCALAR_FIELDS, *_JSON_FIELDS):
        setattr(account, name, row[name])
    for name, kind in _ROW_TYPES.items():
        held = {one["id"]: kind(**one) for one in row[name]}
        getattr(account, name).update(held)
    for profile in account.profiles.values():
        account.ulids.advance_past(profile.id)
        for kind in model.IDENTIFIERS:
            if profile.attributes.get(kind):
                account.set_identifier(profile, kind, profile.attributes[kind])
    for one in row["metrics"]:
        account.add_metric(model.Metric(**one))
    for one in row["events"]:
        account.add_event(model.Event(**one))
    for due, effect, what in row["due"]:
        account.schedule(due, effect, **what)
    return account


class StateFile:
    """The file that keeps a world: mode 0600, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._world: World | None = None
        self._saved_change_count = 0
        self._save_number = 0
        self._written_number = 0
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def load(self) -> World | None:
        """Loads the world in the file; None when there is no file. Raises `StateUnreadable`."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StateUnreadable(
                f"The sandbox's state file {self._path} cannot be read: {error}."
            ) from error
        try:
            return from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self._path} is not a sandbox's state file: move it away or name another."
            raise StateUnreadable(message) from error

    def start(self, world: World) -> None:
        """Begins to save the world, at once and whenever something may have changed."""
        self._world = world
        self._saved_change_count = -1
        self._task = asyncio.create_task(self._run())

    async def save(self, world: World) -> None:
        """Writes the world to the file now."""
        self._saved_change_count = world.change_count
        self._save_number += 1
        text = json.dumps(to_json(world), separators=(",", ":"))
        await asyncio.to_thread(self._write, self._save_number, text)

    def _write(self, order: int, text: str) -> None:
        # A cancelled save goes on in its thread: it must not land after a later one.
        with self._writing:
            if order > self._written_number:
                _replace_file(self._path, text)
                self._written_number = order

    async def aclose(self) -> None:
        """Saves the world for the last time."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._world:
            await self.save(self._world)

    async def _run(self) -> None:
        while self._world is not None:
            began = time.monotonic()
            if self._world.change_count != self._saved_change_count:
                await self.save(self._world)
            await asyncio.sleep(max(_SAVE_INTERVAL_S, 20 * (time.monotonic() - began)))


def _replace_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
