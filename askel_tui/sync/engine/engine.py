"""The engine: plans new records, hands operations to the dispatchers and executes commands, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.store.journal.rows import Decision, StoredOperation, WorkflowCounts, WorkflowState
from askel_tui.sync.account_checks.checker import AccountChecker
from askel_tui.sync.confirmation.confirmations import Confirmations
from askel_tui.sync.confirmation.consent_in_doubt import ConsentInDoubt
from askel_tui.sync.connected import Connected
from askel_tui.sync.dispatching.dispatcher import Dispatcher
from askel_tui.sync.engine.commands import REPLANNING_COMMANDS, execute
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.notifier import Notifier
from askel_tui.sync.planning.backfills import BackfillPlanner
from askel_tui.sync.planning.backlog_workers import BacklogWorkers
from askel_tui.sync.planning.planner import Planner
from askel_tui.sync.upkeep.outage_probe import OutageProbes
from askel_tui.sync.upkeep.retention import Retention
from askel_tui.sync.upkeep.retirement_notices import RetirementNotices
from askel_tui.sync.upkeep.silences import Silences
from askel_tui.sync.upkeep.waiting_alerts import WaitingAlerts

log = logging.getLogger(__name__)

MIN_ROUND_INTERVAL_S = 0.02
"""The shortest time between two rounds, in seconds: many commits make one round."""

MAX_ROUND_INTERVAL_S = 1.0
"""The longest time between two rounds, in seconds."""

DRAIN_TIMEOUT_S = 40.0
"""Time that requests in flight may take when the engine stops, in seconds: a little more than the client allows."""


class Engine:
    """Keeps an instance's data moving. One engine runs per instance; the caller holds the ownership lock."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._journal = instance.journal
        self._dispatchers: dict[str, Dispatcher] = {}
        self._dispatcher_tasks: dict[str, asyncio.Task[None]] = {}
        self._applied_versions: dict[tuple[str, int], AppliedWorkflow] = {}
        self._drift_detector = AccountChecker(instance)
        self._outage_probes = OutageProbes(instance)
        self._confirmations = Confirmations(instance)
        self._consent_in_doubt = ConsentInDoubt(instance)
        self._retention = Retention(instance)
        self._waiting_alerts = WaitingAlerts(instance)
        self._silences = Silences(instance)
        self._retirement_notices = RetirementNotices(instance)
        self._notifier = Notifier(instance)
        self._backlog_workers = BacklogWorkers(instance)
        self._planner = Planner(
            instance.journal,
            instance.clock,
            self._offer,
            self._is_far_ahead,
            self._backlog_workers.build_runs,
            instance.limits,
        )
        self._backfill_planner = BackfillPlanner(
            instance.journal, instance.clock, self._offer, self._is_far_ahead, instance.limits
        )
        self._background_rounds: dict[str, asyncio.Task[None]] = {}
        self._stop_requested = asyncio.Event()
        self._known_connections_stamp: object = None

    def stop(self) -> None:
        """Ends `run`: requests in flight are settled, nothing new is started."""
        self._stop_requested.set()

    async def run(self, *, until_idle: bool = False) -> None:
        """Runs until `stop`, or with `until_idle` until no operation is left that can be sent."""
        try:
            while not self._stop_requested.is_set():
                await self._update_dispatchers()
                executed = await self._execute_commands()
                await self._outage_probes.run_round(self._dispatchers.values())
                planned = await self._plan()
                self._raise_dispatcher_errors()
                idle = not executed and not planned and self._idle()
                # Planned once more, since what was sent last may have been the last of a workflow's first records.
                if until_idle and idle and not await self._notifier.has_pending() and not await self._plan():
                    return
                waiting = max((each.in_memory_count for each in self._dispatchers.values()), default=0)
                self._backlog_workers.update(max(planned, waiting) >= self.instance.limits.backlog_min_count)
                self._start_background_round("drift", self._drift_detector.run_round)
                self._start_background_round("notices", self._notifier.run_round)
                self._start_background_round("confirmations", self._confirmations.run_round)
                self._start_background_round("consent in doubt", self._consent_in_doubt.run_round)
                self._start_background_round("retention", self._retention.run_round)
                self._start_background_round("waiting", self._waiting_alerts.run_round)
                self._start_background_round("silences", self._silences.run_round)
                self._start_background_round("retirement", self._retirement_notices.run_round)
                if planned:
                    await asyncio.sleep(0)  # there may be more to plan at once
                else:
                    await self._wait_for_change()
        finally:
            await self._shut_down()

    def _start_background_round(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Runs a round in the background, so that a slow one keeps nothing else waiting."""
        running = self._background_rounds.get(name)
        if running is not None:
            if not running.done():
                return
            running.result()
        self._background_rounds[name] = asyncio.create_task(work())

    def _idle(self) -> bool:
        return all(dispatcher.idle for dispatcher in self._dispatchers.values())

    async def _wait_for_change(self) -> None:
        stop = asyncio.create_task(self._stop_requested.wait())
        change = asyncio.create_task(self._journal.wait_for_change(MAX_ROUND_INTERVAL_S))
        await asyncio.wait({stop, change}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, change):
            task.cancel()
        await asyncio.gather(stop, change, return_exceptions=True)
        if not self._stop_requested.is_set():
            await asyncio.sleep(MIN_ROUND_INTERVAL_S)

    async def _update_dispatchers(self) -> None:
        """Starts a dispatcher per account, and hands on connections that came, went or have a new key."""
        stamp = self.instance.connections_stamp()
        if stamp == self._known_connections_stamp:
            return
        self._known_connections_stamp = stamp
        connected = await self.instance.connected()
        for account, before in list(self._dispatchers.items()):
            if before.connections - connected.get(account, {}).keys():
                # A new key whose account can't be read counts as another account: only one of them may send.
                await self._end_dispatcher(account)
        for account, connections in connected.items():
            dispatcher = self._dispatchers.get(account)
            if dispatcher is not None:
                dispatcher.connect(connections)
                dispatcher.wake(reload=True)
            else:
                self._start_dispatcher(account, connections)
        self._applied_versions.clear()

    async def _end_dispatcher(self, account: str) -> None:
        """Ends a dispatcher: its requests in flight are settled, or in doubt for the next one."""
        self._dispatchers.pop(account).stop()
        await _wait_until_ended([self._dispatcher_tasks.pop(account)])

    def _start_dispatcher(self, account: str, connections: Mapping[str, Connected]) -> None:
        instance = self.instance
        dispatcher = Dispatcher(
            connections,
            self._journal,
            instance.clock,
            self._drift_detector,
            instance.timing,
            instance.limits,
        )
        self._dispatchers[account] = dispatcher
        self._dispatcher_tasks[account] = asyncio.create_task(dispatcher.run())

    async def _execute_commands(self) -> bool:
        commands = await self._journal.open_commands()
        if not commands:
            return False
        # A new key was stored before the commands that end its holds were submitted.
        await self._update_dispatchers()
        async with AsyncExitStack() as stack:
            for dispatcher in self._dispatchers.values():
                await stack.enter_async_context(dispatcher.suspend_loading())
            for command in commands:
                if command.name in REPLANNING_COMMANDS:
                    for dispatcher in self._dispatchers.values():
                        dispatcher.drop_workflow(command.arguments["workflow"])
                effects = await execute(self.instance, command)
                for workflow in effects.stopped_workflows:
                    for dispatcher in self._dispatchers.values():
                        dispatcher.drop_workflow(workflow)
            states = await self._journal.workflow_states()
            paused = {state.workflow for state in states if state.status == "paused"}
            for dispatcher in self._dispatchers.values():
                dispatcher.pause_workflows(paused)
        return True

    async def _plan(self) -> int:
        """Plans a round of each connection. Returns the number of records that were processed."""
        active: dict[str, list[tuple[WorkflowState, AppliedWorkflow]]] = {}
        for state in await self._journal.workflow_states():
            if state.status != "active" or state.version == DIRECT_VERSION or state.replan is not None:
                continue
            if state.first == 0:
                await self._pause_after_first(state)
                continue
            applied = await self._applied_version(state)
            if applied is not None:
                active.setdefault(state.connection, []).append((state, applied))
        planned = 0
        for of_connection in active.values():
            if self._stop_requested.is_set():
                break
            planned += await self._planner.plan_round(of_connection)
        by_name = {each[0].workflow: each for of_connection in active.values() for each in of_connection}
        return planned + await self._backfill_planner.plan_round(by_name)

    async def _pause_after_first(self, state: WorkflowState) -> None:
        """Pauses a workflow that has planned its first records, once nothing of them waits any more."""
        counts = (await self._journal.counts()).get(state.workflow, WorkflowCounts())
        if counts.waiting:
            return
        decision = Decision(
            "pause", "askel", state.connection, state.workflow, detail={"why": "its first records are sent"}
        )
        await self._journal.set_workflow_state(
            replace(state, status="paused"), decision, self.instance.clock()
        )

    def _is_far_ahead(self, workflow: str) -> bool:
        return any(dispatcher.far_ahead(workflow) for dispatcher in self._dispatchers.values())

    def _offer(self, planned: Sequence[StoredOperation], live: bool) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.offer(planned, live)

    async def _applied_version(self, state: WorkflowState) -> AppliedWorkflow | None:
        key = (state.workflow, state.version)
        if key not in self._applied_versions:
            applied = await self.instance.applied_version(state.workflow, state.version)
            if applied is None:
                log.error("workflow %s version %d can't be read: it is passed over", *key)
                return None
            self._applied_versions[key] = applied
        return self._applied_versions[key]

    def _raise_dispatcher_errors(self) -> None:
        for task in self._dispatcher_tasks.values():
            if task.done():
                task.result()

    async def _shut_down(self) -> None:
        await self._backlog_workers.close()
        for running in self._background_rounds.values():
            running.cancel()
        await asyncio.gather(*self._background_rounds.values(), return_exceptions=True)
        for dispatcher in self._dispatchers.values():
            dispatcher.stop()
        await _wait_until_ended(self._dispatcher_tasks.values())


async def _wait_until_ended(dispatchers: Collection[asyncio.Task[None]]) -> None:
    """Waits for dispatchers that were stopped; cancels those that take too long."""
    if dispatchers:
        _, late = await asyncio.wait(dispatchers, timeout=DRAIN_TIMEOUT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*dispatchers, return_exceptions=True)
