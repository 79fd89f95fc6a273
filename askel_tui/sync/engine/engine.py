"""The engine: takes new records through planning to the dispatchers, and carries out orders, until told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack

from askel_tui.core.planning.steps import Applied
from askel_tui.store.journal.rows import StoredOperation, WorkflowState
from askel_tui.sync.confirmation.confirmations import Confirming
from askel_tui.sync.confirmation.consent_in_doubt import Doubts
from askel_tui.sync.drift.watcher import Watcher
from askel_tui.sync.engine import commands as orders
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.notifier import Notifier
from askel_tui.sync.planning.backlog_workers import BACKLOG, Helpers
from askel_tui.sync.planning.planner import plan_round
from askel_tui.sync.sending.dispatcher import Dispatcher
from askel_tui.sync.sending.settlement import Connected
from askel_tui.sync.upkeep.outage_probe import Outages
from askel_tui.sync.upkeep.retention import Retention

log = logging.getLogger(__name__)

PAUSE_S = 0.02
"""The shortest time between two rounds: many commits make one round."""

ROUND_S = 1.0
"""The longest time between two rounds, in seconds."""

DRAIN_S = 40.0
"""How long requests under way may take to end when the engine stops: the client's own limit and a little."""


class Engine:
    """Keeps an instance's data moving. One engine runs per instance; the caller holds the ownership lock."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._journal = instance.journal
        self._dispatchers: dict[str, Dispatcher] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._applied: dict[tuple[str, int], Applied] = {}
        self._watcher = Watcher(instance)
        self._outages = Outages(instance)
        self._confirming = Confirming(instance)
        self._doubts = Doubts(instance)
        self._retention = Retention(instance)
        self._notifier = Notifier(instance)
        self._helpers = Helpers(instance.journal, instance.home)
        self._background: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._seen_state: object = None

    def stop(self) -> None:
        """Ends `run`: what is under way is settled, nothing new is started."""
        self._stop.set()

    async def run(self, *, until_idle: bool = False) -> None:
        """Runs until `stop`, or with `until_idle` until nothing is left that can be sent."""
        try:
            while not self._stop.is_set():
                await self._connect()
                ordered = await self._carry_out()
                await self._outages.look(self._dispatchers.values())
                planned = await self._plan()
                self._raise_faults()
                idle = not ordered and not planned and self._idle()
                if until_idle and idle and not await self._notifier.pending():
                    return
                waiting = max((each.waiting for each in self._dispatchers.values()), default=0)
                self._helpers.look(max(planned, waiting) >= BACKLOG)
                self._start_round("looks", self._watcher.look)
                self._start_round("notices", self._notifier.round)
                self._start_round("receipts", self._confirming.look)
                self._start_round("doubts", self._doubts.look)
                self._start_round("retention", self._retention.round)
                if planned:
                    await asyncio.sleep(0)  # there may be more to plan at once
                else:
                    await self._pause()
        finally:
            await self._end()

    def _start_round(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Runs a round in the background: whoever does not answer keeps nothing else waiting."""
        running = self._background.get(name)
        if running is not None:
            if not running.done():
                return
            running.result()
        self._background[name] = asyncio.create_task(work())

    def _idle(self) -> bool:
        return all(dispatcher.idle for dispatcher in self._dispatchers.values())

    async def _pause(self) -> None:
        stop = asyncio.create_task(self._stop.wait())
        change = asyncio.create_task(self._journal.wait_change(ROUND_S))
        await asyncio.wait({stop, change}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, change):
            task.cancel()
        await asyncio.gather(stop, change, return_exceptions=True)
        if not self._stop.is_set():
            await asyncio.sleep(PAUSE_S)

    async def _connect(self) -> None:
        """Starts a dispatcher per account, and hands on connections that came, went or have a new key."""
        stamp = self._instance.connections_stamp()
        if stamp == self._seen_state:
            return
        self._seen_state = stamp
        connected = await self._instance.connected()
        for account, before in list(self._dispatchers.items()):
            if before.connections - connected.get(account, {}).keys():
                # Of an account whose id the key may not read, a new key makes another one: one at a time may send.
                await self._finish(account)
        for account, connections in connected.items():
            dispatcher = self._dispatchers.get(account)
            if dispatcher is not None:
                dispatcher.connect(connections)
                dispatcher.wake(reload=True)
            else:
                self._start(account, connections)
        self._applied.clear()

    async def _finish(self, account: str) -> None:
        """Ends a dispatcher: what is under way is settled, or in doubt for the next one."""
        self._dispatchers.pop(account).stop()
        running = self._running.pop(account)
        _, late = await asyncio.wait({running}, timeout=DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def _start(self, account: str, connections: Mapping[str, Connected]) -> None:
        dispatcher = Dispatcher(connections, self._journal, self._instance.clock, self._watcher)
        self._dispatchers[account] = dispatcher
        self._running[account] = asyncio.create_task(dispatcher.run())

    async def _carry_out(self) -> bool:
        commands = await self._journal.open_commands()
        if not commands:
            return False
        # A new key was stored before its holds were ordered to end.
        await self._connect()
        async with AsyncExitStack() as stack:
            for dispatcher in self._dispatchers.values():
                await stack.enter_async_context(dispatcher.reordered())
            for command in commands:
                touched = await orders.carry_out(self._instance, command)
                for workflow in touched.stopped:
                    for dispatcher in self._dispatchers.values():
                        dispatcher.drop(workflow)
            states = await self._journal.workflow_states()
            paused = {state.workflow for state in states if state.status == "paused"}
            for dispatcher in self._dispatchers.values():
                dispatcher.pause(paused)
        return True

    async def _plan(self) -> int:
        """Plans a round of each connection; gives how many records were looked at."""
        active: dict[str, list[tuple[WorkflowState, Applied]]] = {}
        for state in await self._journal.workflow_states():
            if state.status != "active" or state.version == orders.DIRECT_VERSION:
                continue
            applied = await self._applied_version(state)
            if applied is not None:
                active.setdefault(state.connection, []).append((state, applied))
        planned = 0
        for of_connection in active.values():
            if self._stop.is_set():
                break
            planned += await plan_round(
                self._journal,
                of_connection,
                self._instance.clock,
                self._offer,
                self._far_ahead,
                self._helpers.runs,
            )
        return planned

    def _far_ahead(self, workflow: str) -> bool:
        return any(dispatcher.far_ahead(workflow) for dispatcher in self._dispatchers.values())

    def _offer(self, planned: Sequence[StoredOperation], live: bool) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.offer(planned, live)

    async def _applied_version(self, state: WorkflowState) -> Applied | None:
        key = (state.workflow, state.version)
        if key not in self._applied:
            applied = await self._instance.applied(state.workflow, state.version)
            if applied is None:
                log.error("workflow %s version %d can't be read: it is passed over", *key)
                return None
            self._applied[key] = applied
        return self._applied[key]

    def _raise_faults(self) -> None:
        for task in self._running.values():
            if task.done():
                task.result()

    async def _end(self) -> None:
        await self._helpers.close()
        for running in self._background.values():
            running.cancel()
        await asyncio.gather(*self._background.values(), return_exceptions=True)
        for dispatcher in self._dispatchers.values():
            dispatcher.stop()
        if not self._running:
            return
        _, late = await asyncio.wait(self._running.values(), timeout=DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
