"""What runs: the status, orders, holds, failures, the audit, the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from askel_tui.tui.backend.base import Base, in_its_own_thread, writes

if TYPE_CHECKING:
    from askel_tui.services.status import Status
    from askel_tui.store.journal.rows import Failure, Hold, Notice, WorkflowState
    from askel_tui.sync.instance import Instance


@in_its_own_thread
class Running(Base):
    """Tells how things are, and gives orders: to the daemon if one runs, else carried out here."""

    async def status(self) -> Status:
        """The status that `askel status` shows."""
        from askel_tui.services.status import read_status

        return await self._do(read_status)

    async def notices(self, after: int = 0) -> list[Notice]:
        """The notices after one, oldest first."""
        return await self._do(lambda instance: instance.journal.notices(after))

    async def workflow_states(self) -> list[WorkflowState]:
        """What changes about workflows while they run."""
        return await self._do(lambda instance: instance.journal.workflow_states())

    @writes
    async def submit(self, order: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Gives an order (`sync.engine.commands.HANDLERS`). Raises `Refused`, `CommandUnanswered`."""
        from askel_tui.sync.engine.command_bus import submit

        return await self._do(lambda instance: submit(instance, order, arguments, self.actor))

    @writes
    async def pause(self, workflow: str) -> Mapping[str, Any]:
        """Records of the workflow wait from now on."""
        return await self.submit("pause", {"workflow": workflow})

    @writes
    async def resume(self, workflow: str) -> Mapping[str, Any]:
        """What waited of the workflow is sent."""
        return await self.submit("resume", {"workflow": workflow})

    async def holds(self) -> list[Hold]:
        """All holds, oldest first."""
        return await self._do(lambda instance: instance.journal.holds())

    @writes
    async def hold(self, workflow: str, step: str) -> bool:
        """Holds a step: its operations wait until it is released. False if it was held already."""
        return bool((await self.submit("hold", {"workflow": workflow, "step": step}))["placed"])

    @writes
    async def release(self, workflow: str, step: str) -> Mapping[str, Any]:
        """Ends a hold: its operations are sent, in order."""
        return await self.submit("release", {"workflow": workflow, "step": step})

    @writes
    async def discard_held(self, workflow: str, step: str) -> Mapping[str, Any]:
        """Discards the operations that a hold keeps."""
        return await self.submit("discard", {"workflow": workflow, "step": step})

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
        """What failed."""
        return await self._do(lambda instance: instance.journal.failures(workflow, limit))

    @writes
    async def retry_failures(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """Failures are tried again."""
        return await self.submit("retry", {"ids": list(ids)})

    @writes
    async def discard_failures(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """Failures are given up."""
        return await self.submit("discard_failed", {"ids": list(ids)})

    async def daemon_running(self) -> bool:
        """Whether some process works on the home."""
        from askel_tui.store.locks import owner_pid

        return await self._read(lambda instance: owner_pid(instance.home) is not None)

    @property
    def started_daemon(self) -> bool:
        """Whether a daemon runs that was started from here."""
        return self._daemon is not None and self._daemon.returncode is None

    @writes
    async def start_daemon(self) -> None:
        """Starts a daemon as a process of its own. It ends with the console unless `leave_daemon_running` is called."""
        from askel_tui.tui.backend.daemon_process import start_daemon

        async def work(instance: Instance) -> None:
            self._daemon = await start_daemon(instance.home)

        await self._do(work)

    @writes
    async def stop_daemon(self) -> None:
        """Ends the daemon that was started from here, and waits for it."""
        await self._stop_daemon()

    def leave_daemon_running(self) -> None:
        """The daemon that was started from here goes on when the console ends."""
        self._daemon = None
