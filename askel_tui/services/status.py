"""The status of an instance: connections, workflows, waiting and held operations, used budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from askel_tui.contract.endpoints import NotInRevision, endpoint
from askel_tui.contract.revisions import RevisionStatus, describe, describe_service
from askel_tui.contract.revisions import status as revision_status
from askel_tui.core.hold_causes import Cause, HoldReason
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.services.history.backfill_status import BackfillStatus, backfill_statuses
from askel_tui.services.notices import DeliveryStatus, read_delivery_states
from askel_tui.services.outages import OutageStatus, read_outages
from askel_tui.services.workflow_notes import workflow_notes
from askel_tui.store.journal.rows import AuditFilter, Hold, RecordCounts, WorkflowCounts, WorkflowState
from askel_tui.store.locks import owner_pid
from askel_tui.store.state.documents import WorkflowDoc
from askel_tui.sync.backlogs import Backlog, read_backlogs
from askel_tui.sync.import_jobs.slow_jobs import current_slow_jobs
from askel_tui.sync.instance import FOREIGN_USE_KIND, Instance, account_key
from askel_tui.text.times import utc_day

BUDGET_WINDOW_MS = 60_000

FOREIGN_USE_SHOWN_MS = 11 * 60_000
"""Time for which another integration's use of a budget is shown, in milliseconds: it is noted every ten minutes while
it goes on."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The state of the daemon: whether one owns the home; `pid` is None where none does or its id can't be known."""

    running: bool
    pid: int | None


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """A connection. `state` is `connected`, or the cause of a hold that stops all of it."""

    name: str
    account: str | None
    revision: str
    state: str
    refused: int = 0
    """The number of lines and messages that were refused as no records; they are kept under `refused/`."""
    served: str = ""
    """How the revision is served, where it is retired."""
    revision_status: str = RevisionStatus.STABLE.value
    """What Klaviyo calls the revision today: `stable`, `deprecated` or `retired`."""
    revision_note: str = ""
    """The status in words: until when, and what serves a retired one."""


@dataclass(frozen=True, slots=True)
class WorkflowStatus:
    """A workflow and counts of its operations. `version` runs, `newest` was applied last.

    A record that could not be planned has no operations, and counts as one that failed.
    """

    name: str
    connection: str | None
    version: int | None
    newest: int | None
    state: str
    """The state: `draft`, `active`, `paused`, or `direct` for writes without a workflow."""
    unplanned: int
    """The number of records that were received and wait to be planned."""
    waiting: int
    held: int
    failed: int
    sent: int
    differing: int = 0
    """The number of writes of which Klaviyo's answer shows something otherwise than it was sent."""
    discarded: int = 0
    """The number of discarded operations and plans that can still be taken up again."""
    records: RecordCounts | None = None
    """The workflow's records by what is left to do for them; None where they were not counted."""
    warnings: Mapping[str, int] = field(default_factory=dict)
    """The number of records by kind of warning (`core.problems.WARNING_TEXTS`)."""
    notes: tuple[str, ...] = ()
    """What is to be known of its newest version: whom steps skip, and what the newest rules mean otherwise."""
    oldest_waiting: int | None = None
    """The time at which the oldest record was received that waits, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """A held step of a version; `since` is in milliseconds since 1970, `waiting` counts its operations that wait."""

    workflow: str
    step: str
    cause: str
    detail: str
    since: int
    waiting: int
    version: int = 0
    stays: bool = False
    """True if it came back so often that only a person ends it."""
    reasons: tuple[HoldReason, ...] = ()
    """All reasons for which it is held; the first one is `cause` and `detail`."""


@dataclass(frozen=True, slots=True)
class SlowJobStatus:
    """An import job that takes unusually long; its operations wait since `since` (milliseconds since 1970)."""

    connection: str
    job: str | None
    since: int
    operations: int
    detail: str


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The usage of a budget: the calls of a window of `window_s` seconds; `foreign` where another integration takes
    some too."""

    account: str
    call: str
    window_s: int
    limit: int
    used: int
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The status that `askel status` shows."""

    daemon: DaemonStatus
    connections: tuple[ConnectionStatus, ...] = ()
    workflows: tuple[WorkflowStatus, ...] = ()
    holds: tuple[HoldStatus, ...] = ()
    jobs: tuple[SlowJobStatus, ...] = ()
    budgets: tuple[BudgetStatus, ...] = ()
    notices: tuple[DeliveryStatus, ...] = ()
    """How far notices were delivered, by address."""
    outages: tuple[OutageStatus, ...] = ()
    """What Klaviyo does not answer now, by account."""
    backfills: tuple[BackfillStatus, ...] = ()
    """The backfills that have not ended, where records were counted."""


async def read_status(instance: Instance, *, count_records: bool = False) -> Status:
    """Reads the status of an instance; its engine may run in another process.

    With `count_records` the workflows have counts of records, which takes longer the more operations wait.
    """
    pid = owner_pid(instance.home)
    holds = await instance.journal.holds()
    refused = {
        hold.connection: hold.cause
        for hold in holds
        if hold.cause in (Cause.KEY_REFUSED, Cause.OTHER_ACCOUNT, Cause.RETIRED)
    }
    connections = instance.state.connections()
    no_records = await instance.journal.refused_counts()
    today = utc_day(instance.clock())
    return Status(
        DaemonStatus(pid is not None, pid or None),
        tuple(
            ConnectionStatus(
                doc.name,
                doc.account,
                doc.revision,
                refused.get(doc.name, "connected"),
                no_records.get(doc.name, 0),
                describe_service(doc.revision, today),
                revision_status(doc.revision, today).value,
                describe(doc.revision, today),
            )
            for doc in connections
        ),
        await _workflows(instance, count_records=count_records),
        tuple(map(_hold, holds)),
        await _slow_jobs(instance, {doc.name for doc in connections}),
        await _budgets(instance),
        await read_delivery_states(instance),
        await read_outages(instance),
        tuple(await backfill_statuses(instance, unfinished=True)) if count_records else (),
    )


def _hold(hold: Hold) -> HoldStatus:
    return HoldStatus(
        hold.workflow, hold.step, hold.cause, hold.detail, hold.since, hold.waiting, hold.version, hold.stays,
        hold.reasons,
    )  # fmt: skip


async def _workflows(instance: Instance, *, count_records: bool) -> tuple[WorkflowStatus, ...]:
    warnings = await instance.journal.warnings()
    counts = await instance.journal.counts()
    records = await instance.journal.record_counts() if count_records else None
    states = {state.workflow: state for state in await instance.journal.workflow_states()}
    backlogs = await read_backlogs(instance)
    newest = {doc.workflow: doc for doc in instance.state.workflows()}
    return tuple(
        _workflow(
            name,
            states.get(name),
            newest.get(name),
            counts.get(name, WorkflowCounts()),
            backlogs.get(name, Backlog()),
            None if records is None else records.get(name, RecordCounts()),
            warnings.get(name, {}),
        )
        for name in sorted(newest.keys() | states.keys())
    )


def _workflow(
    name: str,
    state: WorkflowState | None,
    newest: WorkflowDoc | None,
    count: WorkflowCounts,
    backlog: Backlog,
    records: RecordCounts | None,
    warnings: Mapping[str, int],
) -> WorkflowStatus:
    current = state or newest
    return WorkflowStatus(
        name=name,
        connection=current.connection if current else None,
        version=current.version if current else None,
        newest=newest.version if newest else None,
        state="draft" if state is None else "direct" if state.version == DIRECT_VERSION else state.status,
        unplanned=backlog.unplanned,
        waiting=count.waiting,
        held=count.held,
        failed=count.failed,
        sent=count.sent,
        differing=count.differing,
        discarded=count.discarded,
        records=records,
        warnings=warnings,
        notes=workflow_notes(newest.source) if newest else (),
        oldest_waiting=backlog.oldest,
    )


async def _slow_jobs(instance: Instance, connections: set[str]) -> tuple[SlowJobStatus, ...]:
    return tuple(
        SlowJobStatus(each["connection"], each["job"], each["since"], each["operations"], each["detail"])
        for each in await current_slow_jobs(instance.journal)
        if each["connection"] in connections
    )


async def _budgets(instance: Instance) -> tuple[BudgetStatus, ...]:
    """Reads the used budgets of all accounts in the window of a minute, by call."""
    since = instance.clock() - BUDGET_WINDOW_MS
    foreign = await _foreign_use(instance)
    rows = []
    revisions = {account_key(doc): doc.revision for doc in instance.state.connections()}
    for account, revision in revisions.items():
        used = Counter(
            call
            for call, _, answered in await instance.journal.taken_slots(account, since)
            if answered is None or answered > since
        )
        for call, count in sorted(used.items()):
            try:
                windows = endpoint(revision, call.partition("?")[0]).windows
            except NotInRevision:
                continue
            rows += [
                BudgetStatus(account, call, window.seconds, window.limit, count, (account, call) in foreign)
                for window in windows
                if window.seconds * 1000 == BUDGET_WINDOW_MS
            ][:1]
    return tuple(rows)


async def _foreign_use(instance: Instance) -> set[tuple[str | None, str | None]]:
    """Finds the budgets (account, call) that another integration was seen to use."""
    recent = AuditFilter(kind=FOREIGN_USE_KIND, since=instance.clock() - FOREIGN_USE_SHOWN_MS)
    entries = await instance.journal.audit_entries(recent, newest=True)
    details = [(entry.response or {}).get("detail") or {} for entry in entries]
    return {(each.get("account"), each.get("call")) for each in details}
