"""Direct requests: check whether a profile is in a segment, fire a flow for a profile.

Firing goes through the same plan, budget, journal and audit as a workflow's writes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.catalog import Catalog, SegmentEntry
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.model import TriggerFlow
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import ScopeMissing
from askel_tui.klaviyo.reads.catalog import read_catalog
from askel_tui.klaviyo.reads.profiles import members_of_list, members_of_segment
from askel_tui.services.direct.writes import PreparedWrite, WriteResult, prepare_write, write_and_wait
from askel_tui.services.discovery import with_trigger_filters
from askel_tui.sync.instance import Instance

_PHONE = re.compile(r"\+[0-9]{7,15}")


class NotFound(AskelError):
    """A segment or another target that does not exist or is ambiguous; the message says what to do."""

    exit_code = ExitCode.REFUSED


def parse_identity(text: str) -> Identity:
    """Parses a word of the command line into an identity: an e-mail, a phone number with +, else an external id."""
    if "@" in text:
        return Identity(email=text)
    if _PHONE.fullmatch(text):
        return Identity(phone_number=text)
    return Identity(external_id=text)


async def check_segment_membership(
    instance: Instance, connection: str, segment: str, identity: Identity
) -> dict[str, Any]:
    """Asks Klaviyo now whether a profile is in a segment.

    Raises `NotFound`, `KeyNotStored`, `UnknownConnection`, `KlaviyoError`.
    """
    client = await instance.client(connection)
    catalog = await read_catalog(client, sections=["segments"])
    named = find_segment(catalog, connection, segment)
    member = (await members_of_segment(client, named.id, [identity]))[identity]
    return {
        "connection": connection,
        "segment": {"id": named.id, "name": named.name},
        "profile": identity.identifiers(),
        "member": member,
    }


def find_segment(catalog: Catalog, connection: str, segment: str) -> SegmentEntry:
    """Finds the segment of an id or name. Raises `NotFound`, also where two have the name, and `ScopeMissing` where the
    key may not read segments."""
    if "segments" in catalog.unread:
        raise ScopeMissing(
            f"the key of {connection} may not read segments, so {segment!r} can't be looked for: it needs the scope "
            f"segments:read; make a key with it and `askel rotate {connection}`"
        )
    named = [each for each in catalog.segments if segment in (each.id, each.name)]
    if not named:
        guess = did_you_mean(segment, [each.name for each in catalog.segments])
        hint = f"did you mean {guess!r}?" if guess else f"`askel browse {connection} segments` lists them"
        raise NotFound(f"no segment is called {segment!r}: {hint}")
    by_id = next((each for each in named if each.id == segment), None)
    if by_id is None and len(named) > 1:
        ids = ", ".join(each.id for each in named)
        raise NotFound(f"{len(named)} segments are called {segment!r}: ask by id ({ids})")
    return by_id or named[0]


async def fire_flow(
    instance: Instance,
    connection: str,
    flow: str,
    identity: Identity,
    actor: str,
    *,
    through_list: str | None = None,
    through_metric: str | None = None,
) -> WriteResult:
    """Fires a flow for a profile through what triggers it, and waits for the answer.

    Raises `InvalidWorkflow` where the flow can't be resolved, `KeyNotStored`, `UnknownConnection`, `KlaviyoError`,
    `CommandRefused`.
    """
    client = await instance.client(connection)
    catalog = await read_catalog(client, sections=["flows", "lists", "metrics", "segments"])
    catalog = await with_trigger_filters(client, catalog, [flow])
    prepared = await prepare_flow_trigger(
        instance,
        connection,
        flow,
        identity,
        actor,
        catalog,
        through_list=through_list,
        through_metric=through_metric,
    )
    there = await list_membership_warnings(client, prepared.operations)
    warnings = (*prepared.warnings, *there)
    return replace(
        await write_and_wait(instance, replace(prepared, warnings=warnings), actor), fires=not there
    )


async def prepare_flow_trigger(
    instance: Instance,
    connection: str,
    flow: str,
    identity: Identity,
    actor: str,
    catalog: Catalog,
    *,
    through_list: str | None = None,
    through_metric: str | None = None,
    key: str | None = None,
) -> PreparedWrite:
    """Plans the write that fires a flow. Raises as `prepare_write` does."""
    step = TriggerFlow("fire", flow, through_list, through_metric)
    return await prepare_write(
        instance, connection, step, identity, actor, catalog, key=key, where="flow fire"
    )


async def list_membership_warnings(client: Client, operations: tuple[Operation, ...]) -> list[Problem]:
    """Makes a warning for each list that the profile is on already: adding it again fires nothing."""
    warnings = []
    for operation in operations:
        listed = operation.destination
        if operation.call != Call.ADD_PROFILES_TO_LIST or listed is None or listed.id is None:
            continue
        if (await members_of_list(client, listed.id, [operation.profile]))[operation.profile]:
            message = (
                f"{operation.profile.label()} is on the list {listed.name!r} already, which fires nothing"
            )
            warnings.append(Problem(message, step=operation.step))
    return warnings
