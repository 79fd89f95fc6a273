"""Going live by steps: the first records that an activation would send, and what Klaviyo holds of them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.operations import Identity
from askel_tui.core.planning.plan import plan
from askel_tui.core.records.record import Record
from askel_tui.services.dry_run import dry_run
from askel_tui.services.dry_run_result import DryRun
from askel_tui.services.history.past_records import (
    FlowsAnswer,
    agree_on_flows,
    matching_records,
)
from askel_tui.services.reconciling.read_back import ExpectedField, read_back
from askel_tui.store.locks import owner_pid
from askel_tui.sync.engine.daemon import run as send_until_idle
from askel_tui.sync.instance import Instance

CHECK_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class ComparedField:
    """A field of a profile: what the dry run said that it would hold, and what it holds."""

    record: str
    profile: str
    field: str
    said: Any
    now: Any
    same: bool


async def try_first(
    instance: Instance,
    workflow: str,
    count: int,
    *,
    since: str | None,
    from_record: str | None,
    flows: FlowsAnswer | None = None,
) -> DryRun:
    """Makes the dry run of the first `count` records that are kept and that an activation would send.

    Raises `PastRecords` where it has to be said first whether they start flows.
    """
    document = instance.workflow_document(workflow)
    applied = await instance.applied_version(workflow, document.version)
    found: list[Record] = []
    starts = await agree_on_flows(instance, workflow, since, from_record, flows)
    if applied is not None:
        async for stored in matching_records(instance, applied, since, from_record):
            if plan(stored.record, applied) is not None:
                found.append(stored.record)
            if len(found) == count:
                break
    return await dry_run(instance, workflow, records=found, history=starts)


async def wait_until_sent(instance: Instance, workflow: str, records: Sequence[str]) -> bool:
    """Waits until a workflow has paused by itself, or nothing of the given records waits any more; returns whether it
    has paused. Where no daemon runs, this process sends."""
    if owner_pid(instance.home) is None:
        await send_until_idle(instance.home, until_idle=True)
    while True:
        state = await instance.workflow_state(workflow)
        if state is None or state.status == "paused":
            return state is not None
        counts = (await instance.journal.counts()).get(workflow)
        planned = state.position is not None and all(
            [
                (stored := await instance.journal.find_record(state.connection, record)) is None
                or stored.seq <= state.position
                for record in records
            ]
        )
        if planned and not (counts and counts.waiting) and state.first != 0:
            return False
        await instance.journal.wait_for_change(CHECK_INTERVAL_S)


async def compare_first(instance: Instance, run: DryRun) -> tuple[ComparedField, ...]:
    """Reads the fields that a dry run said would change, and compares them. Raises `KlaviyoError`."""
    applied = await instance.applied_version(run.workflow, run.version)
    client = await instance.client(run.connection)
    expected: dict[Any, ExpectedField] = {}
    for record in run.records:
        profile = Identity.from_attributes(record.profile)
        for operation in record.operations:
            pinned = applied.targets.get(operation.step) if applied else None
            target = (pinned.through or pinned.target) if pinned else None
            for name, change in operation.changes.items():
                if operation.depends is not None or name.startswith("event "):
                    continue
                list_id = target.id if target is not None and name.startswith("list ") else None
                said = ExpectedField(record.record, profile, name, change["after"], list_id)
                expected[said.key] = said
    found = await read_back(client, list(expected.values()))
    return tuple(
        ComparedField(
            said.record,
            said.profile.label(),
            said.field,
            said.value,
            found.value(said),
            said.is_held(found.value(said)),
        )
        for said in found.last_written(expected.values())
    )
