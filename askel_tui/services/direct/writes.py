"""Direct writes: one step for one profile, without a workflow, through the same plan, budget, journal and audit."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.core.catalog import Catalog
from askel_tui.core.expressions.expression import parse_expression
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.problems import Problem
from askel_tui.core.records.record import Record, read_record
from askel_tui.core.workflows.model import DIRECT_VERSION, Step, Workflow
from askel_tui.services.workflows import InvalidWorkflow, pin_to_catalog, require_scopes
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.engine.commands import CommandRefused
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339

ANSWER_TIMEOUT_S = 30.0
"""Time to wait until all operations of a direct write have ended, in seconds."""

DIRECT_EVENT = "direct"
"""The `event` of the records that stand for direct writes."""


class IdempotencyKeyReused(CommandRefused):
    """An idempotency key that another request used before."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of a direct write: its record, warnings, and the audit entries of its operations so far."""

    record: str
    warnings: tuple[Problem, ...]
    entries: tuple[AuditEntry, ...]
    complete: bool
    """True if every operation of it has ended."""
    operations: tuple[Operation, ...] = ()
    fires: bool = True
    """True if flows start from the write; False where the profile was on the list before."""


@dataclass(frozen=True, slots=True)
class PreparedWrite:
    """A direct write that is planned and not yet submitted."""

    connection: str
    record: Record
    operations: tuple[Operation, ...]
    warnings: tuple[Problem, ...]

    def command_arguments(self) -> dict[str, Any]:
        """Returns the arguments of the command."""
        return {
            "connection": self.connection,
            "workflow": _workflow_name(self.connection),
            "record": self.record.as_dict(),
            "operations": [operation.encode().decode() for operation in self.operations],
        }


async def prepare_write(
    instance: Instance,
    connection: str,
    step: Step,
    identity: Identity,
    actor: str,
    catalog: Catalog,
    *,
    data: Mapping[str, Any] | None = None,
    key: str | None = None,
    where: str = "request",
) -> PreparedWrite:
    """Plans a step for a profile. Expressions of the step see `data` and, under `profile`, the identifiers.

    With a `key` the write is done once, however often it is asked for.

    Raises `InvalidWorkflow`, `IdempotencyKeyReused`, `RecordRefused`, `UnknownConnection`.
    """
    document = instance.state.connection(connection)
    workflow = Workflow(
        name=_workflow_name(connection),
        connection=connection,
        triggers=(DIRECT_EVENT,),
        when=None,
        profile={name: parse_expression(f"data.profile.{name}") for name in IDENTIFIERS},
        steps=(step,),
        source="",
    )
    require_scopes(workflow, document, where)
    pinned = pin_to_catalog(workflow, document, catalog, where)
    body = {**(data or {}), "profile": identity.identifiers()}
    record_id = _record_id(key)
    now = to_rfc3339(instance.clock())
    record = read_record({"id": record_id, "event": DIRECT_EVENT, "data": body, "actor": actor}, now=now)
    stored = await instance.journal.find_record(connection, record_id) if key is not None else None
    if stored is not None and stored.record.data != record.data:
        raise IdempotencyKeyReused(
            "this Idempotency-Key was used before, for another request: a new request needs a new key"
        )
    applied = AppliedWorkflow(
        workflow, DIRECT_VERSION, document.account or "", document.revision, pinned.targets
    )
    planned = plan(record, applied)
    assert planned is not None
    if planned.problems:
        raise InvalidWorkflow(planned.problems)
    return PreparedWrite(connection, record, planned.operations, tuple(pinned.warnings))


async def write_and_wait(
    instance: Instance, prepared: PreparedWrite, actor: str, *, timeout_s: float = ANSWER_TIMEOUT_S
) -> WriteResult:
    """Submits the write and waits until its operations have ended.

    Raises `CommandRefused`, and `CommandUnanswered`, after which the command is still executed later.
    """
    await submit(instance, "direct", prepared.command_arguments(), actor)
    entries = await _wait_for_entries(instance, prepared, timeout_s)
    complete = {each.id for each in prepared.operations} <= {entry.operation for entry in entries}
    return WriteResult(prepared.record.id, prepared.warnings, entries, complete, prepared.operations)


async def queue_write(instance: Instance, prepared: PreparedWrite, actor: str) -> WriteResult:
    """Submits the write, durably, and does not wait."""
    await instance.journal.submit_command("direct", prepared.command_arguments(), actor, instance.clock())
    return WriteResult(prepared.record.id, prepared.warnings, (), False, prepared.operations)


def _workflow_name(connection: str) -> str:
    return f"direct-{connection}"


def _record_id(key: str | None) -> str:
    unique = (
        uuid.uuid4().hex if key is None else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]
    )
    return f"direct-{unique}"


async def _wait_for_entries(
    instance: Instance, prepared: PreparedWrite, timeout_s: float
) -> tuple[AuditEntry, ...]:
    """Waits for the audit entries of the record's operations: all, or those so far where a step is held or time is
    up."""
    wanted = {operation.id for operation in prepared.operations}
    end = time.monotonic() + timeout_s
    while True:
        found = await instance.journal.audit_entries(AuditFilter(record=prepared.record.id))
        entries = tuple(entry for entry in found if entry.operation in wanted)
        if wanted <= {entry.operation for entry in entries} or time.monotonic() >= end:
            return entries
        steps = {operation.step for operation in prepared.operations}
        if any(
            hold.workflow == _workflow_name(prepared.connection) and hold.step in steps
            for hold in await instance.journal.holds()
        ):
            return entries
        await instance.journal.wait_for_change(0.5)
