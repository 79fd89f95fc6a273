"""Applies the plan of a folder to a home, through the services that single commands use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from askel_tui.core.configuration.difference import Change
from askel_tui.core.configuration.model import ConnectionConfig, WorkflowConfig
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.operations import OnConflict
from askel_tui.services import connections, settings, workflows
from askel_tui.services.configuration.planning import Plan
from askel_tui.store.journal.rows import Decision
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import Instance

ReadKey = Callable[[str], str]
"""A function that gives the key of a new connection, by its name."""


class Activate(Protocol):
    """Activates the newest version of a workflow, and answers or asks what has to be said first."""

    def __call__(self, workflow: str, *, paused: bool) -> Awaitable[object]: ...


class FolderBlocked(AskelError):
    """A plan with changes that can't be made; nothing was changed."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class Applier:
    """Makes the changes of a plan one after another; where one fails, those before it are made and stay."""

    instance: Instance
    plan: Plan
    actor: str
    read_key: ReadKey
    activate: Activate

    async def apply(self, report: Callable[[Change], None]) -> None:
        """Makes the changes, and reports each once it is made. Raises what the services raise, `FolderBlocked`."""
        blocked = [f"{each.kind} {each.name}: {each.blocked}" for each in self.plan.work if each.blocked]
        if blocked:
            raise FolderBlocked("; ".join(blocked))
        for change in self.plan.work:
            await self._make(change)
            report(change)
        names = [f"{each.action} {each.kind} {each.name}" for each in self.plan.work]
        decision = Decision("config", self.actor, detail={"changes": names})
        await self.instance.journal.write_decision(decision, self.instance.clock())

    async def _make(self, change: Change) -> None:
        match change.kind:
            case "setting":
                await self._set(change)
            case "connection":
                await self._connection(change)
            case "workflow":
                await self._workflow(change)

    async def _set(self, change: Change) -> None:
        value = self.plan.folder.settings.get(change.name)
        await settings.store(self.instance, change.name, value, self.actor)

    async def _connection(self, change: Change) -> None:
        if change.action == "delete":
            await connections.disconnect(self.instance, change.name, self.actor)
            return
        wanted = self.plan.folder.connections[change.name]
        if change.action == "create":
            await self._connect(wanted)
        else:
            fields = {each.field: each.after for each in change.fields}
            await connections.change(self.instance, change.name, self.actor, **fields)

    async def _connect(self, wanted: ConnectionConfig) -> None:
        conflict: OnConflict = "fail"
        if wanted.on_conflict in ("strongest", "merge"):
            conflict = "merge" if wanted.on_conflict == "merge" else "strongest"
        document, _ = await connections.connect(
            self.instance, wanted.name, self.read_key(wanted.name), self.actor, revision=wanted.revision,
            customer=wanted.customer, only_lists=wanted.only_lists, notify=wanted.notify, on_conflict=conflict,
            accept_retired=wanted.accept_retired,
        )  # fmt: skip
        if wanted.account and document.account and wanted.account != document.account:
            await connections.disconnect(self.instance, wanted.name, self.actor)
            raise connections.KeyUnsuited(
                f"the key belongs to account {document.account}, but connections/{wanted.name}.yaml says "
                f"{wanted.account}; the connection was not made"
            )
        if wanted.pause_after is not None:
            await connections.change(self.instance, wanted.name, self.actor, pause_after=wanted.pause_after)

    async def _workflow(self, change: Change) -> None:
        name = change.name
        if change.action == "delete":
            await workflows.delete(self.instance, name, self.actor)
            return
        wanted = self.plan.folder.workflows[name]
        state = await self.instance.workflow_state(name)
        runs = None
        if state is not None and state.status != "draft":
            runs = self.instance.workflow_document(name, state.version).source
        if wanted.source != runs:
            await workflows.apply(self.instance, wanted.source, wanted.file, self.actor)
        await self._bring_into_state(wanted, runs)
        if wanted.draft is not None:
            await workflows.apply(self.instance, wanted.draft, f"drafts/{name}.yaml", self.actor)

    async def _bring_into_state(self, wanted: WorkflowConfig, runs: str | None) -> None:
        if wanted.status == "draft":
            return
        if wanted.source != runs:
            await self.activate(wanted.name, paused=wanted.status == "paused")
        state = await self.instance.workflow_state(wanted.name)
        if state is not None and state.status != wanted.status:
            command = "pause" if wanted.status == "paused" else "resume"
            await submit(self.instance, command, {"workflow": wanted.name}, self.actor)
