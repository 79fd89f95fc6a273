"""What an operator sees first: connections, workflows, what waits, what is held, how much budget is used."""

from __future__ import annotations

from typing import Any

from askel_tui.contract.endpoints import NotInRevision, endpoint
from askel_tui.store.journal.rows import AuditFilter, WorkflowCounts
from askel_tui.store.locks import owner_pid
from askel_tui.sync.engine.commands import DIRECT_VERSION
from askel_tui.sync.import_jobs.slow_jobs import current_slow_jobs
from askel_tui.sync.instance import FOREIGN_USE_KIND, Instance, account_key
from askel_tui.sync.planning.unplanned import count_unplanned

BUDGET_WINDOW_MS = 60_000

FOREIGN_USE_SHOWN_MS = 11 * 60_000
"""How long another integration's use of a budget is shown: it is noted every ten minutes while it goes on."""


async def read_status(instance: Instance) -> dict[str, Any]:
    """The status as the command line's JSON document."""
    journal = instance.journal
    pid = owner_pid(instance.home)
    holds = await journal.holds()
    counts = await journal.counts()
    states = {state.workflow: state for state in await journal.workflow_states()}
    behind = await count_unplanned(instance)
    newest = {doc.workflow: doc for doc in instance.state.workflows()}
    refused = {
        hold.connection: hold.cause for hold in holds if hold.cause in ("key_refused", "other_account")
    }
    workflows = []
    for name in sorted(newest.keys() | states.keys()):
        state, document = states.get(name), newest.get(name)
        count = counts.get(name, WorkflowCounts())
        running = state.version if state else None
        workflows.append(
            {
                "name": name,
                "connection": state.connection if state else document.connection if document else None,
                "version": running if running is not None else document.version if document else None,
                "newest": document.version if document else None,
                "state": "direct" if running == DIRECT_VERSION else state.status if state else "draft",
                "unplanned": behind.get(name, 0),
                "waiting": count.waiting,
                "held": count.held,
                "failed": count.failed,
                "sent": count.sent,
            }
        )
    return {
        "daemon": {"running": pid is not None, "pid": pid or None},
        "connections": [
            {
                "name": doc.name,
                "account": doc.account,
                "revision": doc.revision,
                "state": refused.get(doc.name, "connected"),
            }
            for doc in instance.state.connections()
        ],
        "workflows": workflows,
        "holds": [
            {
                "workflow": hold.workflow,
                "step": hold.step,
                "cause": hold.cause,
                "detail": hold.detail,
                "since": hold.since,
                "waiting": hold.waiting,
            }
            for hold in holds
        ],
        "jobs": await _jobs(instance),
        "budgets": await _budgets(instance),
    }


async def _jobs(instance: Instance) -> list[dict[str, Any]]:
    """The import jobs that take unusually long: since when they are waited for, and by how many operations."""
    names = {doc.name for doc in instance.state.connections()}
    told = ("connection", "job", "since", "operations", "detail")
    return [
        {name: each[name] for name in told}
        for each in await current_slow_jobs(instance.journal)
        if each["connection"] in names
    ]


async def _budgets(instance: Instance) -> list[dict[str, Any]]:
    """Per account and call, how much of the longest window within a minute is used, and whether others use it too."""
    now = instance.clock()
    rows = []
    seen = AuditFilter(kind=FOREIGN_USE_KIND, since=now - FOREIGN_USE_SHOWN_MS)
    noted = [
        (entry.response or {}).get("detail") or {}
        for entry in await instance.journal.audit_entries(seen, newest=True)
    ]
    foreign = {(each.get("account"), each.get("call")) for each in noted}
    revisions = {account_key(doc): doc.revision for doc in instance.state.connections()}
    for account, revision in revisions.items():
        used: dict[str, int] = {}
        for call, _, answered in await instance.journal.taken_slots(account, now - BUDGET_WINDOW_MS):
            if answered is None or answered > now - BUDGET_WINDOW_MS:
                used[call] = used.get(call, 0) + 1
        for call, count in sorted(used.items()):
            try:
                windows = endpoint(revision, call.partition("?")[0]).windows
            except NotInRevision:
                continue
            minute = [window for window in windows if window.seconds == 60]
            if minute:
                rows.append(
                    {
                        "account": account,
                        "call": call,
                        "window_s": 60,
                        "limit": minute[0].limit,
                        "used": count,
                        "foreign": (account, call) in foreign,
                    }
                )
    return rows
