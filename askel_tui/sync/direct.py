"""What a person or a program asks for at once: is this profile in that segment, fire this flow for them.

A direct write goes through the same plan, budget, journal and audit as a workflow's.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from askel_tui.core.expressions import parse
from askel_tui.core.operations import IDENTIFIERS, Identity, Operation
from askel_tui.core.pinning import pin
from askel_tui.core.planning import Applied, plan
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.records import Record
from askel_tui.core.workflows import TriggerFlow, Workflow
from askel_tui.klaviyo.catalog import read_catalog
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.profiles import members_of_list, members_of_segment
from askel_tui.store.journal import AuditEntry, AuditFilter
from askel_tui.sync.control import give
from askel_tui.sync.discovery import with_filters
from askel_tui.sync.instance import Instance
from askel_tui.sync.orders import DIRECT_VERSION
from askel_tui.sync.workflows import Unfit

PATIENCE_S = 30.0
"""How long to wait until a direct write has been answered."""

_PHONE = re.compile(r"\+[0-9]{7,15}")


class NotFound(Exception):
    """What was asked about does not exist, or can't be asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a direct write: its record, warnings about the flow, and the audit entries of its operations."""

    record: str
    warnings: tuple[Problem, ...]
    entries: tuple[AuditEntry, ...]
    complete: bool


def identity_of(text: str) -> Identity:
    """The identity that a word on the command line names: an e-mail, a phone number with +, else an external id."""
    if "@" in text:
        return Identity(email=text)
    if _PHONE.fullmatch(text):
        return Identity(phone_number=text)
    return Identity(external_id=text)


async def segment_check(
    instance: Instance, connection: str, segment: str, identity: Identity
) -> dict[str, Any]:
    """Whether a profile is in a segment, asked now. Raises `NotFound`, `UnknownConnection`, `KlaviyoError`."""
    client = await instance.client(connection)
    if client is None:
        raise NotFound(
            f"no key is stored for {connection}: `askel rotate {connection} --key-stdin` stores one"
        )
    catalog = await read_catalog(client, sections=["segments"])
    named = [each for each in catalog.segments if segment in (each.id, each.name)]
    if not named:
        guess = did_you_mean(segment, [each.name for each in catalog.segments])
        hint = f"did you mean {guess!r}?" if guess else f"`askel browse {connection} segments` lists them"
        raise NotFound(f"no segment is called {segment!r}: {hint}")
    if len({each.id for each in named}) > 1:
        ids = ", ".join(each.id for each in named)
        raise NotFound(f"{len(named)} segments are called {segment!r}: ask by id ({ids})")
    member = (await members_of_segment(client, named[0].id, [identity]))[identity]
    if member is None:
        raise NotFound(f"whether {identity.label()} is in {named[0].name} can't be read")
    return {
        "connection": connection,
        "segment": {"id": named[0].id, "name": named[0].name},
        "profile": identity.identifiers(),
        "member": member,
    }


async def fire(
    instance: Instance,
    connection: str,
    flow: str,
    identity: Identity,
    actor: str,
    *,
    through_list: str | None = None,
    through_metric: str | None = None,
) -> Fired:
    """Fires a flow for a profile through what triggers it, and waits for the answer.

    Raises `Unfit` where the flow can't be resolved, `NotFound`, `UnknownConnection`, `KlaviyoError`, `Refused`.
    """
    document = instance.state.connection(connection)
    client = await instance.client(connection)
    if client is None:
        raise NotFound(
            f"no key is stored for {connection}: `askel rotate {connection} --key-stdin` stores one"
        )
    catalog = await read_catalog(client, sections=["flows", "lists", "metrics", "segments"])
    catalog = await with_filters(client, catalog, [flow])
    step = TriggerFlow("fire", flow, through_list, through_metric)
    workflow = Workflow(
        name=f"direct-{connection}",
        connection=connection,
        triggers=("direct",),
        when=None,
        profile={name: parse(f"data.{name}") for name in IDENTIFIERS},
        steps=(step,),
        source="",
    )
    pinned = pin(
        workflow, catalog, file="flow fire", only_lists=document.only_lists, revision=document.revision
    )
    if pinned.problems:
        raise Unfit(pinned.problems)
    now = datetime.fromtimestamp(instance.clock() / 1000, UTC).isoformat(timespec="seconds")
    record = Record(f"direct-{uuid.uuid4().hex}", "direct", now, identity.identifiers(), actor)
    applied = Applied(workflow, DIRECT_VERSION, document.account or "", document.revision, pinned.targets)
    planned = plan(record, applied)
    assert planned is not None
    if planned.problems:
        raise Unfit(planned.problems)
    warnings = [*pinned.warnings, *await _on_list(client, planned.operations)]
    arguments = {
        "connection": connection,
        "workflow": workflow.name,
        "record": record.as_dict(),
        "operations": [operation.encode().decode() for operation in planned.operations],
    }
    await give(instance, "direct", arguments, actor)
    entries = await _answers(instance, record.id, planned.operations)
    complete = len(entries) >= len(planned.operations)
    return Fired(record.id, tuple(warnings), entries, complete)


async def _on_list(client: Client, operations: tuple[Operation, ...]) -> list[Problem]:
    """A warning for a list that the profile is on already: putting it there again fires nothing."""
    warnings = []
    for operation in operations:
        listed = operation.destination
        if operation.call != "add_profiles_to_list" or listed is None or listed.id is None:
            continue
        if (await members_of_list(client, listed.id, [operation.profile]))[operation.profile]:
            told = f"{operation.profile.label()} is on the list {listed.name!r} already, which fires nothing"
            warnings.append(Problem(told, step=operation.step))
    return warnings


async def _answers(
    instance: Instance, record: str, operations: tuple[Operation, ...]
) -> tuple[AuditEntry, ...]:
    """The audit entries of a record's operations, once there is one for each, or after `PATIENCE_S`."""
    end = time.monotonic() + PATIENCE_S
    while True:
        entries = await instance.journal.audit(AuditFilter(record=record))
        settled = {entry.operation for entry in entries}
        if {operation.id for operation in operations} <= settled or time.monotonic() >= end:
            return tuple(entries)
        if any(hold.workflow.startswith("direct-") for hold in await instance.journal.holds()):
            return tuple(entries)
        await instance.journal.wait_change(0.5)
