"""The dry run: tries records under a workflow against the account's present state. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from askel_tui.contract.caps import Caps, caps
from askel_tui.core.addressing import CONSENT_CALLS, NEEDS_PROFILE_ID, addressed_identity
from askel_tui.core.catalog import Catalog
from askel_tui.core.exit_codes import AskelError
from askel_tui.core.operations import Identity, OnConflict, Operation
from askel_tui.core.opt_outs import opt_outs_of
from askel_tui.core.planning.diff import ProfileState
from askel_tui.core.planning.history import FlowStarts, plan_history
from askel_tui.core.planning.plan import Plan, plan
from askel_tui.core.planning.rehearsal import NEW_PROFILE_LABEL, Rehearsal, RehearsedOperation, rehearse
from askel_tui.core.planning.shared_phones import PhoneOwners, has_checkable_phone
from askel_tui.core.planning.simulated_account import AccountFacts, SimulatedAccount
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.core.requests import packing
from askel_tui.core.segments import segment_reads
from askel_tui.core.targets.name_checks import find_type_differences
from askel_tui.core.targets.pinning import pin_targets
from askel_tui.core.workflows.model import UpsertProfile
from askel_tui.services.discovery import custom_properties
from askel_tui.services.dry_run_result import (
    DryRun,
    MergePreview,
    OperationPreview,
    RecordPreview,
    RequestPreview,
    Totals,
)
from askel_tui.services.reconciling.sent_records import Sent, find_sent
from askel_tui.services.workflow_notes import unguarded_properties
from askel_tui.sync.instance import Instance

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client

DEFAULT_RECORD_COUNT = 30
"""The number of records that a dry run takes where no number is given."""

RECORDS_PER_PAGE = 500
"""The number of stored records that are searched at a time for matching ones."""

UNKNOWN_ID_PLACEHOLDER = "<profile id>"
"""The text that stands in a request for the id of a profile that the account does not know yet."""


class DryRunImpossible(AskelError):
    """A dry run that can't be made; the message says why and what to do."""


async def dry_run(
    instance: Instance,
    workflow: str,
    *,
    last: int | None = None,
    records: Sequence[Record] | None = None,
    version: int | None = None,
    unsent: bool = False,
    history: FlowStarts | None = None,
) -> DryRun:
    """Tries records under a workflow, by default under its newest version.

    Takes the newest `last` kept records with a matching trigger and a true `when` (30 without `last`), or of the given
    records all of those, or their newest `last`; with `unsent` only those that the workflow has not sent. One that it
    has sent is shown as the version would write it, and counts in `already_sent` only: nothing would be sent. With
    `history`, what starts live flows, the records are of the past.

    Raises `UnknownWorkflow`, `DryRunImpossible`, `KeyNotStored`, `KlaviyoError`.
    """
    document = instance.workflow_document(workflow, version)
    applied = await instance.applied_version(workflow, document.version)
    if applied is None:
        raise DryRunImpossible(
            f"version {document.version} of {workflow} can't be read any more: apply its file again"
        )
    client = await instance.client(document.connection)
    if records is None:
        chosen, sent = await _newest_records(instance, applied, last or DEFAULT_RECORD_COUNT, unsent=unsent)
    else:
        chosen = _matching_records(records, applied)
        sent = await find_sent(instance, workflow, [record.id for record, _ in chosen])
        chosen = [each for each in chosen if not (unsent and each[0].id in sent)][-last if last else 0 :]
    plans = [
        planned if history is None else plan_history(planned, history, record.time, applied.revision)
        for record, planned in chosen
    ]
    catalog = await _read_catalog(client)
    account = await _read_account(
        client,
        plans,
        catalog,
        on_conflict=instance.state.connection(document.connection).on_conflict,
        now=instance.clock(),
        limits=caps(applied.revision),
    )
    phones = await _read_phone_owners(instance, client, document.connection, plans)
    writes = any(isinstance(step, UpsertProfile) and step.properties for step in applied.workflow.steps)
    properties = await custom_properties(instance, document.connection, client) if writes else ()
    by_name = {each.name: each for each in properties}
    plans = [
        replace(each, warnings=(*each.warnings, *find_type_differences(each.operations, by_name)))
        for each in plans
    ]
    totals = Totals()
    # What was sent is tried against the account as it is, and leaves nothing for the other records.
    as_sent = deepcopy(account) if sent else account
    previews = tuple(
        _preview_record(planned, applied, account, phones, totals)
        if planned.record not in sent
        else _preview_sent(planned, applied, as_sent, totals, sent[planned.record])
        for planned in plans
    )
    named = pin_targets(
        applied.workflow, replace(catalog, properties=properties), revision=applied.revision
    ).warnings
    unguarded = await unguarded_properties(instance, applied.workflow)
    warnings = (*applied.workflow.warnings, *named, *unguarded)
    total = totals.result(catalog.flows)
    return DryRun(workflow, document.version, document.connection, previews, total, warnings)


async def _read_catalog(client: Client) -> Catalog:
    """Reads what decides about flows, gates and opt-in; without the sections that the key may not read."""
    from askel_tui.klaviyo.reads.catalog import read_catalog

    return await read_catalog(client, sections=["flows", "lists", "segments", "metrics"])


async def _newest_records(
    instance: Instance, applied: AppliedWorkflow, last: int, *, unsent: bool
) -> tuple[list[tuple[Record, Plan]], dict[str, Sent]]:
    """Reads the newest matching records, in order of receipt, and which of them were sent."""
    found: list[tuple[Record, Plan]] = []
    sent: dict[str, Sent] = {}
    before: int | None = None
    while len(found) < last:
        page = await instance.journal.newest_records(
            applied.workflow.connection, RECORDS_PER_PAGE, events=applied.workflow.triggers, before=before
        )
        planned = ((stored.record, plan(stored.record, applied)) for stored in page)
        matching = [(record, each) for record, each in planned if each is not None]
        if not unsent:
            matching = matching[: last - len(found)]
        sent |= await find_sent(instance, applied.workflow.name, [record.id for record, _ in matching])
        found += [each for each in matching if not (unsent and each[0].id in sent)][: last - len(found)]
        if len(page) < RECORDS_PER_PAGE:
            break
        before = page[-1].seq
    return found[::-1], sent


def _matching_records(records: Iterable[Record], applied: AppliedWorkflow) -> list[tuple[Record, Plan]]:
    planned = ((record, plan(record, applied)) for record in records)
    return [(record, found) for record, found in planned if found is not None]


async def _read_account(
    client: Client,
    plans: Sequence[Plan],
    catalog: Catalog,
    *,
    on_conflict: OnConflict,
    now: int,
    limits: Caps,
) -> SimulatedAccount:
    """Reads profiles, list members and gates for all plans, 100 profiles a call."""
    from askel_tui.klaviyo.reads.profiles import (
        consent_of,
        find_profiles,
        members_of_list,
        members_of_segment,
    )

    operations = [operation for each in plans for operation in each.operations]
    asked = list(
        dict.fromkeys(who for each in operations for who in (each.profile, *_addressed_identities(each)))
    )
    consent = any(each.call in CONSENT_CALLS for each in operations)
    found = await find_profiles(client, asked, additional_fields=["subscriptions"] if consent else ())
    read = {each.id: each for first in found.values() if first for each in (first, *first.conflicting)}
    facts = AccountFacts(
        {each.id: each.opt_in_process for each in catalog.lists},
        {each.id: segment_reads(each.definition) for each in catalog.segments},
    )
    profiles = SimulatedAccount(
        facts, on_conflict=on_conflict, now=now, server_now=client.server_time(), limits=limits
    )
    for each in read.values():
        properties = dict(each.attributes.get("properties") or {})
        profiles.add_profile(
            ProfileState(
                each.id,
                flatten_location(each.attributes),
                properties,
                consent=consent_of(each.attributes),
                opt_outs=opt_outs_of(each.attributes) if consent else {},
            )
        )
    for list_id in _destination_ids(operations, "list"):
        on_list = await members_of_list(client, list_id, _profiles_for_target(operations, "list", list_id))
        for identity, member in on_list.items():
            seen = profiles.find(identity)
            if member and seen is not None:
                seen.lists.add(list_id)
    for segment_id in _destination_ids(operations, "segment"):
        in_segment = await members_of_segment(
            client, segment_id, _profiles_for_target(operations, "segment", segment_id)
        )
        for identity, member in in_segment.items():
            profiles.add_member(segment_id, identity, member)
    return profiles


def _destination_ids(operations: Iterable[Operation], kind: str) -> list[str]:
    found = (operation.destination for operation in operations)
    return list(dict.fromkeys(each.id for each in found if each and each.type == kind and each.id))


def _profiles_for_target(operations: Iterable[Operation], kind: str, target: str) -> list[Identity]:
    return list(
        dict.fromkeys(
            identity
            for operation in operations
            if operation.destination
            and operation.destination.type == kind
            and operation.destination.id == target
            for identity in _addressed_identities(operation)
        )
    )


def _addressed_identities(operation: Operation) -> list[Identity]:
    """Lists the identities that the operation may name: with its phone number, and without, where that is another's."""
    addressed = addressed_identity(operation)
    if not has_checkable_phone(addressed):
        return [addressed]
    return [addressed, replace(addressed, phone_number=None)]


async def _read_phone_owners(
    instance: Instance, client: Client, connection: str, plans: Sequence[Plan]
) -> PhoneOwners:
    """Finds who has the phone numbers, as live does: from what was met before, else from the account."""
    from askel_tui.klaviyo.reads.profiles import read_phone_owners

    phones = {
        each.profile.phone_number or ""
        for planned in plans
        for each in planned.operations
        if has_checkable_phone(each.profile)
    }
    known = await instance.journal.phone_owners(connection, phones)
    owners = PhoneOwners(known, names_owner=True)
    if phones - known.keys():
        owners.add_read((await read_phone_owners(client, phones - known.keys())).values())
    return owners


def _preview_record(
    planned: Plan,
    applied: AppliedWorkflow,
    account: SimulatedAccount,
    phones: PhoneOwners,
    totals: Totals,
) -> RecordPreview:
    rehearsed = rehearse(planned, account, phones, applied.workflow.on_shared_phone)
    totals.add_refused(rehearsed.refused)
    for each in rehearsed.operations:
        if each.depends is None and not each.effect.conflicting_profiles:
            totals.add_operation(each)
    preview = _preview(planned, applied, rehearsed, None)
    totals.add_record(planned, preview)
    return preview


def _preview_sent(
    planned: Plan, applied: AppliedWorkflow, account: SimulatedAccount, totals: Totals, sent: Sent
) -> RecordPreview:
    totals.add_sent()
    return _preview(planned, applied, rehearse(planned, account), sent)


def _preview(
    planned: Plan, applied: AppliedWorkflow, rehearsed: Rehearsal, sent: Sent | None
) -> RecordPreview:
    new = rehearsed.creates_profile
    return RecordPreview(
        planned.record,
        planned.profile.identifiers(),
        new,
        tuple(_preview_operation(each, applied.revision) for each in rehearsed.operations),
        rehearsed.skipped,
        rehearsed.problems,
        unknown=bool(planned.operations) and not rehearsed.known and not new,
        sent=sent,
        warnings=rehearsed.warnings,
    )


def _preview_operation(rehearsed: RehearsedOperation, revision: str) -> OperationPreview:
    operation, effect = rehearsed.operation, rehearsed.effect
    request = None if operation.is_gate else _preview_request(rehearsed, revision)
    into = _profile_label(effect.profile.id)
    merges = tuple(MergePreview(into, _profile_label(source)) for source in effect.merged_ids)
    return OperationPreview(
        operation.step,
        operation.kind,
        operation.target,
        effect.changes,
        request,
        rehearsed.depends,
        rehearsed.passes,
        merges,
        effect.notes,
    )


def _profile_label(ident: str | None) -> str:
    return NEW_PROFILE_LABEL if ident in (None, "new") else str(ident)


def _preview_request(rehearsed: RehearsedOperation, revision: str) -> RequestPreview:
    effect, operation = rehearsed.effect, rehearsed.effect.operation or rehearsed.operation
    known = None if effect.creates_profile or effect.profile.id in (None, "new") else effect.profile.id
    ids = {operation.id: known or UNKNOWN_ID_PLACEHOLDER} if operation.call in NEEDS_PROFILE_ID else {}
    made = packing.build_request([operation], revision, ids)
    return RequestPreview(made.method, made.path, json.loads(made.body))


def flatten_location(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens a profile's attributes: the parts of its location get dotted names."""
    flat = {name: value for name, value in attributes.items() if name != "location"}
    flat.update({f"location.{name}": value for name, value in (attributes.get("location") or {}).items()})
    return flat
