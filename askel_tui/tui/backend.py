"""The backend: the only place where screens meet the instance.

Its coroutines run in a thread of their own (`loop_thread.py`), imports included, so a screen just awaits them;
cancelling the await cancels the work. Methods raise what the functions behind them raise; `told` makes a sentence of
that. Methods marked `@writes` raise `ReadOnly` in a read-only console before anything happens, and what they would
write with is guarded as well (`read_only.py`).

To add what a screen needs: an `async def` here that calls `self._do(lambda instance: …)`, with `@writes` if it changes
anything anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from askel_tui.tui.loop_thread import Closed, LoopThread
from askel_tui.tui.read_only import ReadOnly

if TYPE_CHECKING:
    from askel_tui.core.catalogs import Catalog
    from askel_tui.core.problems import Problem
    from askel_tui.core.records import Record, Refused
    from askel_tui.core.workflows import Workflow
    from askel_tui.klaviyo.checks import KeyCheck
    from askel_tui.store.documents import ConnectionDoc, OnConflict, WorkflowDoc
    from askel_tui.store.journal import AuditEntry, AuditFilter, Failure, Hold, StoredRecord, WorkflowState
    from askel_tui.sync.direct import Fired
    from askel_tui.sync.discovery import Discovered
    from askel_tui.sync.instance import Instance
    from askel_tui.sync.intake import Intake
    from askel_tui.sync.workflows import AppliedResult

P = ParamSpec("P")
T = TypeVar("T")

LOOK_S = 0.25
"""How often the journal is asked whether anything was committed, in seconds."""

CLOSE_S = 10.0
"""How long what is under way may take when the console ends, in seconds."""

WRITES = "__writes__"
"""Marks methods that change something."""

Environment = Literal["sandbox", "klaviyo"]


Method = Callable[P, Coroutine[Any, Any, T]]


def writes(method: Method[P, T]) -> Method[P, T]:
    """Marks a method that changes something: refused at once in a read-only console."""

    @functools.wraps(method)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        backend = args[0]
        assert isinstance(backend, Backend)
        if backend.read_only:
            raise ReadOnly(method.__name__.replace("_", " "))
        return await method(*args, **kwargs)

    setattr(checked, WRITES, True)
    return checked


def in_its_own_thread(kind: type[T]) -> type[T]:
    """Makes every public coroutine of the backend run in the backend's loop, its imports included."""
    for name, method in list(vars(kind).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(method) and name != "close":
            setattr(kind, name, _moved(method))
    return kind


def _moved(method: Method[P, T]) -> Method[P, T]:
    @functools.wraps(method)
    async def moved(*args: P.args, **kwargs: P.kwargs) -> T:
        backend = args[0]
        assert isinstance(backend, Backend)
        return await backend.loop.call(method(*args, **kwargs))

    return moved


@in_its_own_thread
class Backend:
    """One home, opened in the background. Methods wait until it is open."""

    def __init__(self, home: Path | None = None, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self._home = home
        self.loop = LoopThread("askel-backend")
        self._on_change: Callable[[], None] = _nothing
        self._instance: Instance | None = None
        self._fault: BaseException | None = None
        self._holder: asyncio.Task[None] | None = None
        self._opened: asyncio.Event | None = None
        self._close: asyncio.Event | None = None
        self._daemon: asyncio.subprocess.Process | None = None
        self.actor = _actor()

    # Opening and closing.

    async def open(self, on_change: Callable[[], None]) -> None:
        """Opens the home; `on_change` is called from another thread after commits, at most four times a second.

        Raises `HomeUnusable` and `JournalError`, as every later call then does.
        """
        self._on_change = on_change
        await self._ready()

    async def _hold_open(self, opened_: asyncio.Event, close: asyncio.Event) -> None:
        try:
            from askel_tui.sync.instance import opened

            async with opened(self._home) as instance:
                if self.read_only:
                    from askel_tui.tui.read_only import guarded

                    guarded(instance)
                self._instance = instance
                opened_.set()
                await self._watch(instance, close)
        except Exception as error:
            self._fault = error
        finally:
            self._instance = None
            opened_.set()

    async def _watch(self, instance: Instance, close: asyncio.Event) -> None:
        from askel_tui.store.locks import owner

        before: object = None
        while not close.is_set():
            changed = await instance.journal.wait_change(0)
            now = (instance.connections_stamp(), owner(instance.home))
            if changed or now != before:
                self._on_change()
            before = now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await close.wait()

    async def close(self) -> None:
        """Lets go of everything, and ends a daemon that was started from here and not let go of."""
        self._on_change = _nothing
        if self._holder is not None:
            await self.loop.call(self._end())
        self.loop.stop()

    async def _end(self) -> None:
        assert self._close is not None
        assert self._holder is not None
        await self._stop_daemon()
        self._close.set()
        await asyncio.wait({self._holder}, timeout=CLOSE_S)

    async def _ready(self) -> Instance:
        if self._holder is None or self._opened is None:
            self._opened, self._close = asyncio.Event(), asyncio.Event()
            self._holder = asyncio.create_task(self._hold_open(self._opened, self._close))
        await self._opened.wait()
        if self._instance is None:
            raise self._fault or Closed("The console is being closed.")
        return self._instance

    async def _do(self, work: Callable[[Instance], Awaitable[T]]) -> T:
        """What `work` gives with the open instance."""
        return await work(await self._ready())

    async def _read(self, work: Callable[[Instance], T]) -> T:
        return work(await self._ready())

    # What is there.

    @property
    def address(self) -> str:
        """The base address of Klaviyo's API as this process calls it."""
        return os.environ.get("ASKEL_KLAVIYO_URL") or "https://a.klaviyo.com"

    @property
    def environment(self) -> Environment:
        """Whether writes would reach this machine's sandbox or the real Klaviyo."""
        host = urlsplit(self.address).hostname or ""
        return "sandbox" if host in ("localhost", "::1") or host.startswith("127.") else "klaviyo"

    async def home(self) -> Path:
        """The directory of all state."""
        return await self._read(lambda instance: instance.home)

    async def now(self) -> int:
        """The instance's clock, milliseconds since 1970."""
        return await self._read(lambda instance: instance.clock())

    async def status(self) -> dict[str, Any]:
        """The status as `askel status --json` has it (holds: `since` in milliseconds)."""
        from askel_tui.sync.status import status

        return await self._do(status)

    async def notices(self, after: int = 0) -> list[Mapping[str, Any]]:
        """Notices as {seq, at, connection, workflow, step, kind, text}, oldest first."""
        return await self._do(lambda instance: instance.journal.notices(after))

    async def workflow_states(self) -> list[WorkflowState]:
        """What changes about workflows while they run."""
        return await self._do(lambda instance: instance.journal.workflow_states())

    # Connections.

    async def connections(self) -> list[ConnectionDoc]:
        """All connections by name."""
        return await self._read(lambda instance: instance.state.connections())

    async def check_key(self, key: str, revision: str) -> KeyCheck:
        """What a key that is not stored opens. Raises `KlaviyoError`, `KeyUnfit`."""
        from askel_tui.core.fingerprints import fingerprint
        from askel_tui.klaviyo.checks import check_key
        from askel_tui.store.secrets import check_key as fit_key

        if self.read_only:
            # Write scopes are probed by requests that cannot write, yet are no reads.
            raise ReadOnly("checking a key")

        async def work(instance: Instance) -> KeyCheck:
            fit = fit_key(key)
            client = await instance.client_for(fit, revision, f"key:{fingerprint(fit)}")
            async with client:
                return await check_key(client)

        return await self._do(work)

    @writes
    async def connect(
        self,
        name: str,
        key: str,
        *,
        revision: str | None = None,
        customer: str | None = None,
        only_lists: Sequence[str] = (),
        notify: Sequence[str] = (),
        on_conflict: OnConflict = "fail",
    ) -> tuple[ConnectionDoc, KeyCheck]:
        """Makes a connection (`sync.connections.connect`)."""
        from askel_tui.sync import connections

        return await self._do(
            lambda instance: connections.connect(
                instance,
                name,
                key,
                self.actor,
                revision=revision,
                customer=customer,
                only_lists=only_lists,
                notify=notify,
                on_conflict=on_conflict,
            )
        )

    @writes
    async def test_notice(self, addresses: Sequence[str]) -> list[str | None]:
        """Sends a notice that says it is a test; gives, per address, None or why it did not leave."""
        from askel_tui.sync.notice_ways import Message, Undelivered, send

        async def one(address: str, now: int) -> str | None:
            text = f"A test from Askel's console, asked for by {self.actor}: notices of this connection come here."
            document = {"test": True, "text": text, "at": now}
            try:
                await send(address, Message(f"test-{now}", "Askel: a test", text, document), now // 1000)
            except Undelivered as why:
                return str(why)
            return None

        async def work(instance: Instance) -> list[str | None]:
            now = instance.clock()
            return list(await asyncio.gather(*(one(address, now) for address in addresses)))

        return await self._do(work)

    @writes
    async def check_connection(self, name: str) -> tuple[ConnectionDoc, KeyCheck]:
        """Checks a connection's key anew (`sync.connections.check`)."""
        from askel_tui.sync import connections

        return await self._do(lambda instance: connections.check(instance, name))

    @writes
    async def rotate(self, name: str, key: str) -> tuple[ConnectionDoc, KeyCheck]:
        """Gives a connection a new key (`sync.connections.rotate`)."""
        from askel_tui.sync import connections

        return await self._do(lambda instance: connections.rotate(instance, name, key, self.actor))

    @writes
    async def disconnect(self, name: str) -> ConnectionDoc:
        """Takes a connection away (`sync.connections.disconnect`)."""
        from askel_tui.sync import connections

        return await self._do(lambda instance: connections.disconnect(instance, name, self.actor))

    @writes
    async def change_connection(self, name: str, **fields: Any) -> ConnectionDoc:
        """Sets fields of a connection (`customer`, `only_lists`, `notify`, `on_conflict`)."""
        return await self._do(
            lambda instance: asyncio.to_thread(
                functools.partial(instance.state.change_connection, name, **fields)
            )
        )

    async def lists_of(self, key: str, revision: str) -> list[str]:
        """The names and ids of the lists that a key which is not stored can see. Raises `KlaviyoError`, `KeyUnfit`."""
        from askel_tui.core.fingerprints import fingerprint
        from askel_tui.klaviyo.catalog import read_catalog
        from askel_tui.store.secrets import check_key as fit_key

        async def work(instance: Instance) -> list[str]:
            fit = fit_key(key)
            client = await instance.client_for(fit, revision, f"key:{fingerprint(fit)}")
            async with client:
                lists = (await read_catalog(client, sections=["lists"])).lists
                return [each.name for each in lists] + [each.id for each in lists]

        return await self._do(work)

    # The catalog.

    async def catalog(self, connection: str) -> Catalog | None:
        """The catalog as it was last read."""
        return await self._do(lambda instance: asyncio.to_thread(instance.catalog, connection))

    async def discover(
        self, connection: str, sections: Collection[str] | None = None, *, sample: int | None = None
    ) -> Discovered:
        """Reads sections of the catalog (all without) from Klaviyo and keeps them."""
        from askel_tui.klaviyo.catalog import SAMPLE, SECTIONS
        from askel_tui.sync.discovery import discover

        async def work(instance: Instance) -> Discovered:
            client = await _client(instance, connection)
            return await discover(instance, connection, client, sections or SECTIONS, sample=sample or SAMPLE)

        return await self._do(work)

    async def segment_check(self, connection: str, segment: str, profile: str) -> dict[str, Any]:
        """Whether a profile (as typed) is in a segment (`sync.direct.segment_check`)."""
        from askel_tui.sync.direct import identity_of, segment_check

        return await self._do(
            lambda instance: segment_check(instance, connection, segment, identity_of(profile))
        )

    async def members(self, connection: str, kind: Literal["list", "segment"], named: str) -> int | None:
        """How many profiles are on a list or in a segment, asked now; 15 such calls a minute. Raises `KlaviyoError`."""

        async def work(instance: Instance) -> int | None:
            client = await _client(instance, connection)
            query = {f"additional-fields[{kind}]": "profile_count", f"fields[{kind}]": "name,profile_count"}
            answer = await client.call(f"get_{kind}", ids={"id": named}, query=query)
            found = answer.body["data"]["attributes"].get("profile_count")
            return found if isinstance(found, int) else None

        return await self._do(work)

    @writes
    async def fire(self, connection: str, flow: str, profile: str, **through: str | None) -> Fired:
        """Fires a flow for a profile (`sync.direct.fire`: `through_list`, `through_metric`)."""
        from askel_tui.sync.direct import fire, identity_of

        return await self._do(
            lambda instance: fire(instance, connection, flow, identity_of(profile), self.actor, **through)
        )

    # Workflows.

    async def workflows(self) -> list[WorkflowDoc]:
        """The newest version of every workflow."""
        return await self._read(lambda instance: instance.state.workflows())

    async def workflow(self, name: str, version: int | None = None) -> WorkflowDoc:
        """One version, by default the newest. Raises `UnknownWorkflow`."""
        return await self._read(lambda instance: instance.document(name, version))

    async def versions(self, name: str) -> list[WorkflowDoc]:
        """All versions, oldest first. Raises `UnknownWorkflow`."""
        return await self._read(lambda instance: instance.state.versions(name))

    async def read_workflow(self, text: str, file: str) -> tuple[Workflow | None, list[Problem]]:
        """A workflow file's text, read by itself: all problems at once, never raises on bad YAML."""
        from askel_tui.core.workflow_files import load_workflow

        return await self._read(lambda _: load_workflow(text, file))

    @writes
    async def apply(self, text: str, file: str) -> AppliedResult:
        """Stores a workflow as a draft version, checked against the live account. Raises `Unfit` with every problem."""
        from askel_tui.sync import workflows

        return await self._do(lambda instance: workflows.apply(instance, text, file, self.actor))

    @writes
    async def activate(
        self, workflow: str, *, since: str | None = None, from_record: str | None = None
    ) -> Mapping[str, Any]:
        """Switches a workflow to its newest version."""
        from askel_tui.sync import workflows

        return await self._do(
            lambda instance: workflows.activate(
                instance, workflow, self.actor, since=since, from_record=from_record
            )
        )

    @writes
    async def delete_workflow(self, workflow: str) -> Mapping[str, Any]:
        """Forgets a workflow; the audit stays."""
        from askel_tui.sync import workflows

        return await self._do(lambda instance: workflows.delete(instance, workflow, self.actor))

    # Records and the dry run.

    async def newest_records(
        self, connection: str, limit: int, *, events: Collection[str] | None = None, before: int | None = None
    ) -> list[StoredRecord]:
        """The newest records by receipt, newest first."""
        return await self._do(
            lambda instance: instance.journal.newest_records(connection, limit, events=events, before=before)
        )

    async def record(self, connection: str, record: str) -> StoredRecord | None:
        """A record by its id."""
        return await self._do(lambda instance: instance.journal.record(connection, record))

    async def dry_run(
        self,
        workflow: str,
        *,
        last: int | None = None,
        records: Sequence[Record] | None = None,
        version: int | None = None,
    ) -> dict[str, Any]:
        """The dry run as `askel dry-run --json` has it. Raises `NotRun`, `KlaviyoError`."""
        from askel_tui.sync.dryrun import dry_run

        return await self._do(
            lambda instance: dry_run(instance, workflow, last=last, records=records, version=version)
        )

    async def records_of(self, file: Path) -> tuple[list[Record], list[Refused]]:
        """The records of a JSONL or CSV file, and the lines that are none; nothing is kept. Raises `OSError`."""
        from datetime import UTC, datetime

        from askel_tui.core.record_files import file_lines, read_csv, read_jsonl
        from askel_tui.core.records import Refused

        def work() -> tuple[list[Record], list[Refused]]:
            read = read_csv if file.suffix.lower() == ".csv" else read_jsonl
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            with file.open("rb") as stream:
                found = [each for _, each in read(file_lines(stream), now=now)]
            records = [each for each in found if not isinstance(each, Refused)]
            return records, [each for each in found if isinstance(each, Refused)]

        return await asyncio.to_thread(work)

    @writes
    async def ingest(
        self,
        connection: str,
        file: Path,
        *,
        progress: Callable[[Intake], None] | None = None,
    ) -> Intake:
        """Takes in the records of a file; `progress` is called from another thread."""
        from askel_tui.sync.intake import ingest

        async def work(instance: Instance) -> Intake:
            with file.open("rb") as lines:
                kind: Literal["csv", "jsonl"] = "csv" if file.suffix.lower() == ".csv" else "jsonl"
                return await ingest(instance, connection, lines, kind, progress=progress)

        return await self._do(work)

    # Orders: to the daemon if one runs, else carried out here.

    @writes
    async def give(self, order: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Gives an order (`sync.orders.HANDLERS`). Raises `Refused`, `Unanswered`."""
        from askel_tui.sync.control import give

        return await self._do(lambda instance: give(instance, order, arguments, self.actor))

    @writes
    async def pause(self, workflow: str) -> Mapping[str, Any]:
        """Records of the workflow wait from now on."""
        return await self.give("pause", {"workflow": workflow})

    @writes
    async def resume(self, workflow: str) -> Mapping[str, Any]:
        """What waited of the workflow is sent."""
        return await self.give("resume", {"workflow": workflow})

    async def holds(self) -> list[Hold]:
        """All holds, oldest first."""
        return await self._do(lambda instance: instance.journal.holds())

    @writes
    async def hold(self, workflow: str, step: str) -> bool:
        """Holds a step: its operations wait until it is released. False if it was held already."""
        return bool((await self.give("hold", {"workflow": workflow, "step": step}))["placed"])

    @writes
    async def release(self, workflow: str, step: str) -> Mapping[str, Any]:
        """Ends a hold: its operations are sent, in order."""
        return await self.give("release", {"workflow": workflow, "step": step})

    @writes
    async def discard_held(self, workflow: str, step: str) -> Mapping[str, Any]:
        """Discards the operations that a hold keeps."""
        return await self.give("discard", {"workflow": workflow, "step": step})

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
        """What failed."""
        return await self._do(lambda instance: instance.journal.failures(workflow, limit))

    @writes
    async def retry_failures(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """Failures are tried again."""
        return await self.give("retry", {"ids": list(ids)})

    @writes
    async def discard_failures(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """Failures are given up."""
        return await self.give("discard_failed", {"ids": list(ids)})

    # The audit.

    async def audit(
        self, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[AuditEntry]:
        """Whole audit entries; the tail has its own reader (`tail_feed.py`)."""
        return await self._do(
            lambda instance: instance.journal.audit(wanted, after=after, limit=limit, newest=newest)
        )

    # Settings that are stored with the state (retention, notices).

    async def settings(self) -> dict[str, Any]:
        """All settings that were made."""
        return await self._read(lambda instance: instance.state.settings())

    @writes
    async def save_setting(self, name: str, value: Any) -> None:
        """Stores a setting; None takes it back."""
        await self._do(lambda instance: asyncio.to_thread(instance.state.save_setting, name, value))

    @property
    def config_directory(self) -> Path:
        """Where the user's own files are: `config.yaml`, `keymap.yaml`, `themes/`."""
        from askel_tui.tui.config import directory

        return self._home or directory()

    @writes
    async def save_config(self, name: str, value: str) -> None:
        """Sets one line of `config.yaml`; the others stay. Raises `HomeUnusable`, `OSError`."""
        from askel_tui.store.files import replace_file
        from askel_tui.tui.config_edit import with_setting

        def work() -> None:
            # A link stays one: people keep such files elsewhere.
            file = (self.config_directory / "config.yaml").resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text("utf-8") if file.exists() else ""
            replace_file(file, with_setting(before, name, value).encode())

        await asyncio.to_thread(work)

    # The daemon.

    async def daemon_running(self) -> bool:
        """Whether some process works on the home."""
        from askel_tui.store.locks import owner

        return await self._read(lambda instance: owner(instance.home) is not None)

    @property
    def started_daemon(self) -> bool:
        """Whether a daemon runs that was started from here."""
        return self._daemon is not None and self._daemon.returncode is None

    @writes
    async def start_daemon(self) -> None:
        """Starts a daemon as a process of its own. It ends with the console unless `let_go` is called."""
        from askel_tui.tui.daemon_process import start

        async def work(instance: Instance) -> None:
            self._daemon = await start(instance.home)

        await self._do(work)

    @writes
    async def stop_daemon(self) -> None:
        """Ends the daemon that was started from here, and waits for it."""
        await self._stop_daemon()

    def let_go(self) -> None:
        """The daemon that was started from here goes on when the console ends."""
        self._daemon = None

    async def _stop_daemon(self) -> None:
        process, self._daemon = self._daemon, None
        if process is not None:
            from askel_tui.tui.daemon_process import stop

            await stop(process)


async def _client(instance: Instance, connection: str) -> Any:
    from askel_tui.sync.direct import NotFound

    client = await instance.client(connection)
    if client is None:
        raise NotFound(f"no key is stored for {connection}: give it one on the Connections screen")
    return client


def _nothing() -> None:
    """Nobody wants to know of changes."""


def _actor() -> str:
    import getpass

    try:
        return f"console:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):
        return f"console:uid-{os.getuid()}"


def told(error: BaseException) -> str:
    """An error as a sentence for people, inert."""
    from askel_tui.tui.inert import inert

    text = str(error).strip() or type(error).__name__
    text = text if text.endswith((".", "!", "?")) else text + "."
    return inert(text[:1].upper() + text[1:])


@contextlib.asynccontextmanager
async def open_backend(home: Path | None = None, *, read_only: bool = False) -> AsyncIterator[Backend]:
    """A backend for tests and scripts: open inside the block."""
    backend = Backend(home, read_only=read_only)
    await backend.open(lambda: None)
    try:
        yield backend
    finally:
        await backend.close()
