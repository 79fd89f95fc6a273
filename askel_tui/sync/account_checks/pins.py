"""The pins of applied workflows, of every version that runs or still has operations to send."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

from askel_tui.core.catalog import StepTargets
from askel_tui.core.drift.dependencies import StepDependencies, step_dependencies
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.scopes import needed_scopes
from askel_tui.store.errors import UnknownConnection, UnknownVersion, UnknownWorkflow
from askel_tui.sync.instance import Instance

VersionedStep = tuple[str, int, str]
"""A workflow, its version and a step: operations keep the version that they were planned under."""


class Pins:
    """The pins of an instance's workflows, read once per version: a version is never changed."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._by_version: dict[tuple[str, int], dict[str, StepDependencies]] = {}
        self._cleared_properties: dict[str, frozenset[str]] | None = None
        """The properties that active workflows remove themselves, by connection."""

    async def active(self) -> dict[str, list[VersionedStep]]:
        """Returns the steps of all active and paused workflows, by connection: those of the version that runs, of
        every other one that has operations left, and any that is held: else nothing would end its hold."""
        found: dict[str, list[VersionedStep]] = defaultdict(list)
        cleared: dict[str, set[str]] = defaultdict(set)
        queued = await self._instance.journal.versions_with_operations()
        held = {hold.key for hold in await self._instance.journal.holds()}
        for state in await self._instance.journal.workflow_states():
            if state.status == "draft":
                continue
            older = {version for workflow, version in queued if workflow == state.workflow}
            running = {state.version} | older
            for version in sorted(running | {key[1] for key in held if key[0] == state.workflow}):
                for step, one in (await self._pins_of_version(state.workflow, version)).items():
                    if version not in running and (state.workflow, version, step) not in held:
                        continue
                    found[state.connection].append((state.workflow, version, step))
                    cleared[state.connection] |= one.cleared
        self._cleared_properties = {connection: frozenset(names) for connection, names in cleared.items()}
        return found

    async def read(self, keys: Collection[VersionedStep]) -> dict[VersionedStep, StepDependencies]:
        """Reads the dependencies of each of the steps `keys`; steps of direct writes are left out."""
        if self._cleared_properties is None:
            await self.active()
        found = {}
        everywhere = frozenset().union(*(self._cleared_properties or {}).values())
        for workflow, version, step in sorted(keys):
            one = (await self._pins_of_version(workflow, version)).get(step)
            if one is not None:
                found[workflow, version, step] = replace(one, cleared=one.cleared | everywhere)
        return found

    def needs_no_check(self, key: VersionedStep) -> bool:
        """Checks whether the step, once it was read, names nothing whose drift would hold it."""
        steps = self._by_version.get(key[:2])
        if steps is None:
            return False
        one = steps.get(key[2])
        return (
            one is None
            or (one.kind in ("track_event", "unsubscribe", "subscribe") and _has_no_list(one))
            or (one.target is None and not one.properties)
        )

    async def _pins_of_version(self, workflow: str, version: int) -> dict[str, StepDependencies]:
        key = (workflow, version)
        if key not in self._by_version:
            self._by_version[key] = await asyncio.to_thread(self._load_version, workflow, version)
        return self._by_version[key]

    def _load_version(self, workflow: str, version: int) -> dict[str, StepDependencies]:
        try:
            document = self._instance.workflow_document(workflow, version)
            revision = self._instance.state.connection(document.connection).revision
        except (UnknownWorkflow, UnknownVersion, UnknownConnection):
            return {}
        loaded, problems = load_workflow(document.source, document.file or workflow)
        if loaded is None or problems:
            return {}
        targets = {step: StepTargets(each.target, each.through) for step, each in document.targets.items()}
        seen = {step: each.seen for step, each in document.targets.items()}
        scopes = {step.id: needed_scopes(step, revision) for step in loaded.steps}
        return {one.step: one for one in step_dependencies(loaded, targets, seen, scopes)}


def _has_no_list(one: StepDependencies) -> bool:
    return one.destination is None or one.destination.type != "list"
