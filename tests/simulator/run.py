"""Runs a story: the engine's lives, what a person and the account do meanwhile, and the quiet at the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import tempfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from askel_tui.contract.revisions import NEWEST
from askel_tui.core.exit_codes import AskelError
from askel_tui.klaviyo.errors import KlaviyoError
from askel_tui.sandbox.http import control_groups
from askel_tui.sandbox.jsonapi import ids_and_times
from askel_tui.sandbox.state.dump import account_state
from askel_tui.sandbox.state.faults import Fault
from askel_tui.sandbox.state.profiles import create_profile
from askel_tui.services import connections, workflows
from askel_tui.services.ingest import ingest
from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.rows import AuditEntry, AuditFilter, Failure, Hold
from askel_tui.store.journal.tables.audit.checking import AuditBreak
from askel_tui.sync.engine.command_bus import submit
from tests.simulator.account import KEY, SimulatedKlaviyo, build_world
from tests.simulator.journal import Crash, FullDisk
from tests.simulator.loop import BEGIN_MS, VirtualLoop, WallClock, run_virtually
from tests.simulator.process import KeptKeys, Process
from tests.simulator.story import Action, Story
from tests.simulator.workflows import CONNECTION, VERSIONS, file_of

ACTOR = "simulator"
MAX_ROUNDS = 8
"""The number of times that a person releases what is held at the end."""
QUIET_BEFORE_S = 5.0
"""The time before a person sets things right, so that what goes on by itself has gone on."""

MAX_QUIET_S = 12 * 3600.0
"""The virtual time within which everything that can be sent is sent."""


class NotQuiet(Exception):
    """An engine that has not come to an end."""


@dataclass
class Ending:
    """What a run left behind."""

    history: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    """The records in the order of the journal."""
    entries: list[AuditEntry] = field(default_factory=list)
    broken: AuditBreak | None = None
    failures: list[Failure] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, list[int]] = field(default_factory=dict)
    """The versions of each workflow that were applied: which of `VERSIONS` each is."""
    switches: list[tuple[str, int, str, int]] = field(default_factory=list)
    """Activations while it ran: workflow, version, what became of what was unsent, and when (milliseconds)."""
    renames: list[tuple[int, str, str]] = field(default_factory=list)
    """Properties that were renamed in the account: when (milliseconds), from and to."""
    shown: list[dict[str, str]] = field(default_factory=list)
    """The identifiers that answers showed on one profile."""
    self_made_429s: int = 0
    ended: str | None = None
    """How the engine ended where it should not have."""

    @property
    def operations(self) -> int:
        """The number of operations that came to an end."""
        return sum(entry.operation is not None for entry in self.entries)

    def digest(self) -> str:
        """Returns a digest of all that happened."""
        whole = "\n".join([*self.history, *map(repr, self.entries), json.dumps(self.state, sort_keys=True)])
        return hashlib.sha256(whole.encode()).hexdigest()


def play(story: Story) -> Ending:
    """Runs a story to its end, in a directory of its own; in memory, where there is such a place."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="askel-simulator-", dir=memory) as directory:
        ids_and_times.chance = random.Random(f"ids {story.seed}")
        try:
            return run_virtually(lambda loop: _Run(story, loop, Path(directory)).play(), story.seed)
        finally:
            ids_and_times.chance = random.SystemRandom()


class _Run:
    def __init__(self, story: Story, loop: VirtualLoop, directory: Path) -> None:
        self.story = story
        self.loop = loop
        self.directory = directory
        self.ending = Ending()
        self.clock = WallClock(loop)
        world = build_world(BEGIN_MS / 1000)
        self.klaviyo = SimulatedKlaviyo(world, self.clock, random.Random(f"net {story.seed}"), self.note)
        for who in story.known:
            create_profile(self.klaviyo.account, who, BEGIN_MS / 1000)
        self.keys = KeptKeys()
        self.lives = 0
        self.process: Process
        self.main: asyncio.Task[Any] | None = None

    def note(self, line: str) -> None:
        """Writes a line into the history."""
        self.ending.history.append(f"{self.loop.time():.6f} {line}")

    def born(self, home: Path) -> Process:
        return Process(home, self.klaviyo, self.keys, f"{self.story.seed} {self.lives}", self.story.limits)

    async def play(self) -> Ending:
        self.main = asyncio.current_task()
        first = self.directory / "home-0"
        first.mkdir()
        self.process = self.born(first)
        try:
            await connections.connect(self.process.instance, CONNECTION, KEY, ACTOR, revision=NEWEST)
            for workflow in VERSIONS:
                await self.apply(workflow, 0)
            self.process.start_engine()
            for workflow in VERSIONS:
                await workflows.activate(self.process.instance, workflow, ACTOR)
            for action in self.story.actions:
                await self.alive(lambda action=action: asyncio.sleep(action.after))
                self.note(f"ACTION {action.do} {json.dumps(action.what)}")
                await self.alive(lambda action=action: self.act(action))
            await self.quiet()
        except (NotQuiet, AskelError) as why:
            self.ending.ended = f"{type(why).__name__}: {why}"
        await asyncio.gather(*self.klaviyo.serving, return_exceptions=True)
        await self.read_ending()
        await self.process.end()
        return self.ending

    async def alive(self, work: Any) -> None:
        """Does something, again where the program dies meanwhile."""
        while True:
            doing: asyncio.Task[None] = self.loop.create_task(_as_coroutine(work()))
            death = self.loop.create_task(_as_coroutine(self.process.writer.crashed.wait()))
            engine = self.process.engine_task
            await asyncio.wait([doing, death, engine], return_when=asyncio.FIRST_COMPLETED)
            if self.process.writer.crashed.is_set():
                await self.die(self.directory / f"home-{self.lives + 1}")
                continue
            death.cancel()
            if engine.done():
                if not isinstance(engine.exception(), JournalError):
                    engine.result()
                    raise NotQuiet("the engine ended by itself")
                await self.die(self.process.home)
                continue
            try:
                await doing
            except JournalError as why:
                self.note(f"REFUSED {why}")
                continue
            return

    async def die(self, home: Path) -> None:
        """Ends a life and begins the next one, on what the last one left in a home."""
        self.lives += 1
        self.note(f"DEATH {self.lives}")
        before = self.process
        assert self.main is not None
        await before.bury({self.main, *self.klaviyo.serving})
        await asyncio.sleep(1.0)
        self.process = self.born(home)
        self.process.start_engine()

    async def act(self, action: Action) -> None:
        instance, what = self.process.instance, action.what
        match action.do:
            case "take":
                lines = [json.dumps(record).encode() for record in what["records"]]
                await ingest(instance, CONNECTION, lines, "jsonl")
            case "fault":
                self.klaviyo.world.faults.all.append(Fault.read(what))
            case "clock":
                self.clock.jump(what["seconds"])
            case "members":
                known = [e for e in what["emails"] if self.klaviyo.account.find_profile("email", e)]
                self.control("PUT", ["segments", what["segment"], "members"], {"profiles": known})
            case "remove" | "restore":
                self.change_list(what["list"], gone=action.do == "remove")
            case "crash":
                home = self.directory / f"home-{self.lives + 1}"
                self.process.crash_at(Crash(what["commits"], home, what["last"], what["torn_at"]))
            case "full":
                self.process.writer.full_disk = FullDisk(**what)
            case "version":
                await self.switch(what["workflow"], what["version"], what["unsent"])
            case "rotate":
                await self.rotate()
            case "rename":
                self.ending.renames.append((self.clock.wall(), what["from"], what["to"]))
                control_groups.rename_property(self.klaviyo.account, what["from"], what["to"])
            case command:
                await self.command(command, what)

    async def command(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Gives a command as a person would; what is refused changes nothing."""
        try:
            await submit(self.process.instance, name, arguments, ACTOR)
        except AskelError as why:
            self.note(f"REFUSED {name}: {why}")

    async def switch(self, workflow: str, version: int, unsent: Literal["replan", "keep"]) -> None:
        """Applies and activates a version, unless its list is gone."""
        try:
            await self.apply(workflow, version)
        except (workflows.InvalidWorkflow, KlaviyoError) as why:
            self.note(f"REFUSED apply: {why}")
            return
        newest = len(self.ending.versions[workflow])
        await workflows.activate(self.process.instance, workflow, ACTOR, unsent=unsent)
        self.ending.switches.append((workflow, newest, unsent, self.clock.wall()))

    async def rotate(self) -> None:
        """Gives the connection a new key; the old one is revoked before, as a person in a hurry does."""
        world = self.klaviyo.world
        for key in world.keys.values():
            key.revoked = True
        new = world.add_key(f"{KEY}{len(world.keys)}", self.klaviyo.account.id)
        for _ in range(MAX_ROUNDS):
            try:
                await connections.rotate(self.process.instance, CONNECTION, new.secret, ACTOR)
                return
            except AskelError as why:
                self.note(f"REFUSED rotate: {why}")
        raise NotQuiet("the key could not be rotated")

    async def apply(self, workflow: str, version: int) -> None:
        instance = self.process.instance
        applied = await workflows.apply(instance, file_of(workflow, version), f"{workflow}.yaml", ACTOR)
        known = self.ending.versions.setdefault(workflow, [])
        while len(known) < applied.document.version:
            known.append(version)  # one that a crash cut off may be before it
        known[applied.document.version - 1] = version

    def control(self, method: str, parts: list[str], body: dict[str, Any]) -> None:
        control_groups.respond(self.klaviyo.account, method, parts, body, self.clock.true_ms() / 1000)

    def change_list(self, name: str, *, gone: bool) -> None:
        held = self.klaviyo.account.lists if gone else self.klaviyo.account.deleted_lists
        if any(one.name == name for one in held.values()):
            self.control(*(("DELETE", ["lists", name]) if gone else ("POST", ["lists", name, "restore"])), {})

    async def quiet(self) -> None:
        """Ends all trouble, lets a person release what is held, and waits until nothing can be sent."""
        await self.alive(lambda: asyncio.sleep(QUIET_BEFORE_S))
        self.klaviyo.world.faults.all.clear()
        self.process.crash_at(None)
        self.process.writer.full_disk = None
        for one in list(self.klaviyo.account.deleted_lists.values()):
            self.change_list(one.name, gone=False)
        for workflow in VERSIONS:
            await self.alive(lambda workflow=workflow: self.command("resume", {"workflow": workflow}))
        for _ in range(MAX_ROUNDS):
            await self.process.stop_engine()
            ending = self.process.start_engine(until_idle=True)
            done, _ = await asyncio.wait([ending], timeout=MAX_QUIET_S)
            if not done:
                raise NotQuiet(f"the engine is not idle after {MAX_QUIET_S / 3600:g} hours")
            ending.result()
            failed = [each.id for each in await self.process.journal.failures() if _is_passing(each)]
            holds = await self.process.journal.holds()
            if not holds and not failed:
                return
            self.process.start_engine()
            if holds:
                await self.alive(lambda: self.command("release", {}))
            if failed:
                await self.alive(lambda ids=failed: self.command("retry", {"ids": ids}))
        await self.process.stop_engine()

    async def read_ending(self) -> None:
        ending, journal = self.ending, self.process.journal
        ending.entries = await journal.audit_entries(AuditFilter(), limit=1_000_000)
        ending.broken = (await journal.verify_audit()).broken
        ending.failures = list(await journal.failures())
        ending.holds = list(await journal.holds())
        stored = await journal.newest_records(CONNECTION, 1_000_000)
        ending.records = [each.record.as_dict() for each in reversed(stored)]
        ending.state = account_state(self.klaviyo.account)
        ending.shown = self.klaviyo.shown
        ending.self_made_429s = self.klaviyo.refuses_rate


def _is_passing(failure: Failure) -> bool:
    """Checks whether a person would retry what failed: its list was gone for a moment; a conflict stays one."""
    return "conflict" not in failure.reason


async def _as_coroutine(work: Coroutine[Any, Any, Any]) -> None:
    await work
