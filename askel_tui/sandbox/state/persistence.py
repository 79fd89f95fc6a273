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

_EVERY: Final = 5.0
"""Seconds between saves; longer where a save takes long."""
_PLAIN: Final = ("name", "sender", "timezone", "currency", "industry", "website", "integration")
_OPEN: Final = ("merged", "requests", "confirmations")
_ROWS: Final[dict[str, Any]] = {
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
    """The state file is there but is no sandbox's state; the message says so in one sentence."""


def dump(world: World) -> dict[str, Any]:
    """All of a world as JSON; faults, windows and the request log aside."""
    return {
        "sandbox": 1,
        "settings": world.settings.as_dict(),
        "keys": [
            {"key": key.secret, "account": key.account, "revoked": key.revoked}
            | {"scopes": None if key.scopes is None else sorted(key.scopes)}
            for key in world.keys.values()
        ],
        "accounts": [_account(account) for account in world.accounts.values()],
    }


def restore(data: dict[str, Any]) -> World:
    """The world that `dump` gave."""
    world = World(Settings().changed(data["settings"]))
    for row in data["accounts"]:
        world.add_account(_restored(row))
    for row in data["keys"]:
        scopes = None if row["scopes"] is None else frozenset(row["scopes"])
        world.add_key(row["key"], row["account"], scopes).revoked = row["revoked"]
    return world


def _account(account: Account) -> dict[str, Any]:
    row: dict[str, Any] = {"id": account.id}
    row |= {name: getattr(account, name) for name in (*_PLAIN, *_OPEN)}
    row |= {name: [asdict(one) for one in getattr(account, name).values()] for name in _ROWS}
    row["metrics"] = [asdict(one) for one in account.metrics.values()]
    row["events"] = [asdict(one) for one in account.events.values()]
    row["due"] = [[due, deed, what] for due, _, deed, what in sorted(account.due, key=lambda one: one[:2])]
    return row


def _restored(row: dict[str, Any]) -> Account:
    account = Account(row["id"], row["name"])
    for name in (*_PLAIN, *_OPEN):
        setattr(account, name, row[name])
    for name, kind in _ROWS.items():
        held = {one["id"]: kind(**one) for one in row[name]}
        getattr(account, name).update(held)
    for profile in account.profiles.values():
        account.ulids.after(profile.id)
        for kind in model.IDENTIFIERS:
            if profile.attributes.get(kind):
                account.identify(profile, kind, profile.attributes[kind])
    for one in row["metrics"]:
        account.add_metric(model.Metric(**one))
    for one in row["events"]:
        account.add_event(model.Event(**one))
    for due, deed, what in row["due"]:
        account.later(due, deed, **what)
    return account


class Keeper:
    """Keeps a world in a file, 0600, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._world: World | None = None
        self._saved = 0
        self._order = 0
        self._written = 0
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def load(self) -> World | None:
        """The world in the file, None when there is no file. Raises `StateUnreadable`."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StateUnreadable(
                f"The sandbox's state file {self._path} cannot be read: {error}."
            ) from error
        try:
            return restore(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = f"{self._path} is not a sandbox's state file: move it away or name another."
            raise StateUnreadable(told) from error

    def start(self, world: World) -> None:
        """Begins to save, at once and whenever something may have changed."""
        self._world = world
        self._saved = -1
        self._task = asyncio.create_task(self._run())

    async def save(self, world: World) -> None:
        """Writes the file now."""
        self._saved = world.changes
        self._order += 1
        text = json.dumps(dump(world), separators=(",", ":"))
        await asyncio.to_thread(self._write, self._order, text)

    def _write(self, order: int, text: str) -> None:
        # A save that was given up goes on in its thread: it must not land after a later one.
        with self._writing:
            if order > self._written:
                _replace(self._path, text)
                self._written = order

    async def aclose(self) -> None:
        """Saves for the last time."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._world:
            await self.save(self._world)

    async def _run(self) -> None:
        while self._world is not None:
            began = time.monotonic()
            if self._world.changes != self._saved:
                await self.save(self._world)
            await asyncio.sleep(max(_EVERY, 20 * (time.monotonic() - began)))


def _replace(path: Path, text: str) -> None:
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
