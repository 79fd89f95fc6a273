"""Alerts: the team is told where the oldest waiting record of a workflow is too old, and no hold is the reason."""

from __future__ import annotations

from askel_tui.sync.backlogs import Backlog, read_backlogs
from askel_tui.sync.instance import Instance
from askel_tui.sync.periodic import Interval

WAITING_SETTING = "waiting_alert"
DEFAULT_WAITING_S = 3_600
"""The age of the oldest waiting record from which on the team is told, in seconds, without a setting."""


class WaitingAlerts:
    """A worker that adds a notice when a workflow's records begin to wait too long, and one when that is over.

    What a hold keeps, and what is paused, has its own word. Records of the past that a workflow takes up late wait
    only since then.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._interval = Interval()
        self._since: dict[str, int] = {}
        """The time since which each workflow has had records that wait, as far as this worker saw."""

    async def run_round(self) -> None:
        """Compares each workflow's oldest waiting record with the setting, once a minute."""
        instance = self._instance
        now = instance.clock()
        if not self._interval.elapsed(now, instance.timing.waiting_check_interval_ms):
            return
        limit_ms = int(instance.state.settings().get(WAITING_SETTING) or DEFAULT_WAITING_S) * 1000
        held = {hold.workflow for hold in await instance.journal.holds()}
        backlogs, counts = await read_backlogs(instance), await instance.journal.counts()
        for state in await instance.journal.workflow_states():
            backlog = backlogs.get(state.workflow, Backlog())
            if backlog.oldest is None:
                self._since.pop(state.workflow, None)
            since = max(self._since.setdefault(state.workflow, now), backlog.oldest or now)
            known = await instance.journal.has_waiting_notice(state.connection, state.workflow)
            excused = backlog.oldest is None or state.workflow in held or state.status != "active"
            # After a restart it is not known how long they wait, but that the team was told.
            late = not excused and now - ((backlog.oldest or now) if known else since) > limit_ms
            if late == known:
                continue
            count = counts.get(state.workflow)
            await instance.journal.add_waiting_notice(
                state.connection,
                state.workflow,
                backlog.oldest if late else None,
                count.waiting if count else 0,
                backlog.unplanned,
                now,
            )
