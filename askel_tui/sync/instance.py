"""An instance: one `ASKEL_HOME`, opened, with its state, journal, keys and clients."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from askel_tui.core.catalog import Catalog, StepTargets
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import DIRECT_VERSION, OnSharedPhone
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import Decision, WorkflowState
from askel_tui.store.paths import home as usable_home
from askel_tui.store.paths import state_file
from askel_tui.store.state.documents import ConnectionDoc, WorkflowDoc
from askel_tui.store.state.state import State
from askel_tui.sync.timing import Limits, Timing

if TYPE_CHECKING:
    from askel_tui.klaviyo.answers import AnswerWatch
    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.http import Carrier
    from askel_tui.klaviyo.http_limits import HttpLimits
    from askel_tui.klaviyo.rate_limits.limiter import RateLimiter
    from askel_tui.klaviyo.rate_limits.slots import Clock as RateClock
    from askel_tui.klaviyo.retries import RetryPolicy
    from askel_tui.store.locks import OwnershipLock
    from askel_tui.store.secrets.key_store import KeyStore
    from askel_tui.sync.connected import Connected

log = logging.getLogger(__name__)

COMPETE_SETTING = "compete"
"""The name of the setting that lets backlogs keep their pace beside other integrations."""

FOREIGN_USE_KIND = "foreign_use"
"""The kind of the audit entry about another integration that uses a call's budget."""


def now_ms() -> int:
    """Returns the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class KeyNotStored(AskelError):
    """A connection whose key is not stored, so that Klaviyo can't be asked."""

    exit_code = ExitCode.KEY_OR_SCOPE

    def __init__(self, connection: str) -> None:
        super().__init__(
            f"no key is stored for {connection}: `askel rotate {connection} --key-stdin` stores one"
        )


class Instance:
    """State, journal, keys and clients of one home. Open one with `open_instance`."""

    def __init__(
        self,
        home: Path,
        state: State,
        journal: Journal,
        *,
        owner: bool = False,
        secrets: KeyStore | None = None,
    ) -> None:
        self.home = home
        self.state = state
        self.journal = journal
        self.clock = now_ms
        self.owner = owner
        """True if this process runs the engine of the home."""
        self.timing = Timing()
        self.limits = Limits()
        self._secrets = secrets
        self._budgets: RateLimiter | None = None
        self._restored_accounts: set[str] = set()
        self._note_tasks: set[asyncio.Task[None]] = set()
        self._clients: dict[tuple[str, str, str, bool], Client] = {}
        self.retry_policy: RetryPolicy | None = None
        """The bounds of the attempts at one call, where they are not the usual ones."""
        self.http_limits: HttpLimits | None = None
        """The bounds of one HTTP request, where they are not the usual ones."""
        self.http_carrier: Carrier | None = None
        """The carrier of requests in place of the network, where there is one."""
        self.rate_clock: RateClock | None = None
        """The clock of the rate limits, where it is not the machine's."""

    @cached_property
    def answers(self) -> AnswerWatch:
        """The watch of the calls that this process makes as the owner."""
        from askel_tui.klaviyo.answers import AnswerWatch

        return AnswerWatch(lambda: self.clock())

    async def aclose(self) -> None:
        """Closes clients and the journal."""
        for client in self._clients.values():
            await client.aclose()
        if self._budgets is not None:
            await self._budgets.aclose()
        await asyncio.gather(*self._note_tasks, return_exceptions=True)
        await self.journal.close()

    def secrets(self) -> KeyStore:
        """Returns the key store. Raises `NoSafeKeyring`."""
        if self._secrets is None:
            from askel_tui.store.secrets.key_store import open_key_store

            self._secrets = open_key_store(self.home)
        return self._secrets

    async def client_for(
        self, key: str, revision: str, account: str, *, accept_retired: bool = False
    ) -> Client:
        """Makes a client for a key that need not be stored, under the account's budget."""
        from askel_tui.klaviyo.client import Client
        from askel_tui.klaviyo.rate_limits.limiter import RateLimiter, budgets_switched_off

        if self._budgets is None:
            others = self._note_foreign_use if self.owner else None
            self._budgets = RateLimiter(
                "owner" if self.owner else "guest", self.journal, self.rate_clock, on_other_client=others
            )
        make = partial(
            Client,
            key=key,
            revision=revision,
            account=account,
            retry_policy=self.retry_policy,
            http_limits=self.http_limits,
            carrier=self.http_carrier,
            answers=self.answers if self.owner else None,
            accept_retired=accept_retired,
        )
        client = make(limiter=self._budgets)
        if budgets_switched_off(client.address):
            await client.aclose()
            return make()
        if account not in self._restored_accounts:
            self._restored_accounts.add(account)
            await self._budgets.restore(account)
        return client

    async def client(self, connection: str) -> Client:
        """Returns the client of a connection. Raises `KeyNotStored`, `UnknownConnection`."""
        found = await self.find_client(connection)
        if found is None:
            raise KeyNotStored(connection)
        return found

    async def find_client(self, connection: str, revision: str | None = None) -> Client | None:
        """Finds the client of a connection, at another revision where it is given; None where its key is not stored.

        Raises `UnknownConnection`.
        """
        found = self.state.connection(connection)
        revision, accept = revision or found.revision, found.accept_retired
        before = found.before_move
        if before is not None and revision == before.revision != found.revision:
            accept = before.accept_retired
        if found.canary is not None and revision == found.canary.to != found.revision:
            accept = found.canary.accept_retired
        handle = (found.name, found.key, revision, accept)
        if handle not in self._clients:
            key = await asyncio.to_thread(self.secrets().get, connection)
            if key is None:
                return None
            made = await self.client_for(key, revision, account_key(found), accept_retired=accept)
            if self._clients.setdefault(handle, made) is not made:
                # Another task made one meanwhile.
                await made.aclose()
        return self._clients[handle]

    async def connected(self) -> dict[str, dict[str, Connected]]:
        """Returns every connection that has a key, by account and name."""
        from askel_tui.sync.connected import PAUSE_AFTER_MS, Connected

        found: dict[str, dict[str, Connected]] = {}
        settings = self.state.settings()
        # A version never changes, and everything is connected anew where workflows did.
        policy = functools.cache(self._on_shared_phone)
        for doc in self.state.connections():
            client = await self.find_client(doc.name)
            if client is not None:
                account = account_key(doc)
                if self.owner and doc.account is not None:
                    await self.journal.save_account(doc.name, doc.account, self.clock())
                pause_after = 1_000 * (
                    doc.pause_after or settings.get("pause_after") or PAUSE_AFTER_MS // 1_000
                )
                connected = Connected(
                    doc.name,
                    account,
                    doc.revision,
                    doc.key,
                    client,
                    doc.on_conflict,
                    int(pause_after),
                    self.timing,
                    self.limits,
                    policy,
                    client_at=partial(self.find_client, doc.name),
                )
                if doc.canary is not None:
                    connected = replace(connected, canary=await connected.at(doc.canary.to))
                found.setdefault(account, {})[doc.name] = connected
        if self._budgets is not None:
            self._budgets.ignore_other_clients(settings.get(COMPETE_SETTING) is True)
        return found

    def _note_foreign_use(self, account: str, call: str) -> None:
        """Notes in the audit that another integration uses the budget of a call, for `status` in another process."""
        log.info("another integration uses the budget of %s of account %s", call, account)
        decision = Decision(FOREIGN_USE_KIND, "askel", detail={"account": account, "call": call})
        noting = asyncio.create_task(self.journal.write_decision(decision, self.clock()))
        self._note_tasks.add(noting)
        noting.add_done_callback(self._note_tasks.discard)

    async def connected_by_name(self) -> dict[str, Connected]:
        """Returns every connection that has a key, by name."""
        by_account = await self.connected()
        return {name: each for connections in by_account.values() for name, each in connections.items()}

    def connections_stamp(self) -> object:
        """Returns a value that changes whenever connections or workflows were changed, by any process."""
        try:
            found = os.stat(state_file(self.home))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def workflow_document(self, workflow: str, version: int | None = None) -> WorkflowDoc:
        """Returns a version of a workflow (the newest without one). Raises `UnknownWorkflow`."""
        return self.state.workflow(workflow, version)

    async def applied_version(self, workflow: str, version: int | None = None) -> AppliedWorkflow | None:
        """Loads a version of a workflow, ready for planning; None where the stored version can't be read any more."""
        doc = self.workflow_document(workflow, version)
        connection = self.state.connection(doc.connection)
        loaded, problems = load_workflow(doc.source, doc.file or doc.workflow)
        if loaded is None or problems:
            return None
        targets = {step: StepTargets(pinned.target, pinned.through) for step, pinned in doc.targets.items()}
        return AppliedWorkflow(
            loaded, doc.version, connection.account or "", connection.revision, targets, doc.event_steps
        )

    def _on_shared_phone(self, workflow: str, version: int) -> OnSharedPhone:
        """Finds what a version does with another person's phone number; direct writes and lost versions go on."""
        if version == DIRECT_VERSION:
            return "go_on"
        try:
            doc = self.workflow_document(workflow, version)
        except AskelError:
            return "go_on"
        loaded, _ = load_workflow(doc.source, doc.file or doc.workflow)
        return loaded.on_shared_phone if loaded is not None else "go_on"

    async def workflow_state(self, workflow: str) -> WorkflowState | None:
        """Returns the state of a workflow; None where it was never applied."""
        states = await self.journal.workflow_states()
        return next((state for state in states if state.workflow == workflow), None)

    def catalog(self, connection: str) -> Catalog | None:
        """Returns the catalog as it was last read."""
        found = self.state.catalog(connection)
        return Catalog.from_dict(found) if found is not None else None

    async def save_catalog(self, connection: str, catalog: Catalog, sections: Collection[str]) -> Catalog:
        """Stores sections of a catalog that were read; the others stay as they were. Returns the whole catalog."""
        before = self.catalog(connection)
        if before is not None:
            catalog = replace(
                before, **{name: getattr(catalog, name) for name in (*sections, "taken", "account")}
            )
        await asyncio.to_thread(self.state.save_catalog, connection, catalog.as_dict())
        return catalog


def account_key(connection: ConnectionDoc) -> str:
    """Returns the account whose budget a connection uses; the key stands for it where the account is unknown."""
    return connection.account or f"key:{connection.key}"


@asynccontextmanager
async def open_instance(
    home: Path | None = None, *, owner: bool = False, lock: OwnershipLock | None = None
) -> AsyncIterator[Instance]:
    """Opens the instance of the home (`ASKEL_HOME` without one), and closes it at the end. Raises `HomeUnusable`.

    With the home's lock a process of its own may write the journal; it holds the lock until it has ended.
    """
    from askel_tui.store.sqlite.journal import open_journal

    where = home or usable_home()
    journal = await open_journal(where, lock=None if lock is None else lock.descriptor)
    instance = Instance(where, State(where), journal, owner=owner)
    try:
        yield instance
    finally:
        await instance.aclose()
