"""Interpretation of answers to single calls, list calls, consent jobs and gates.

Each operation of a request is in its settlement exactly once, whatever the answer is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.hold_causes import Cause
from askel_tui.core.operations import IDENTIFIERS, Identity, OnConflict, Operation
from askel_tui.core.planning.disposition import dropped_event, left_out_note, resolve_conflict
from askel_tui.core.requests.bulk import row_index_of
from askel_tui.core.requests.differences import Difference, differences_of, find_differences
from askel_tui.core.requests.packing import PACKED_CALLS
from askel_tui.klaviyo.client import Response
from askel_tui.klaviyo.errors import InvalidRequest, KlaviyoError, NotInAccount
from askel_tui.klaviyo.responses import attributes_of, resource_of
from askel_tui.store.journal.rows import SettledOperation, StoredOperation
from askel_tui.sync.settlement.error_policy import Action, action_after_check, action_for, settlement_for
from askel_tui.sync.settlement.values import HeldOperations, Retry, Settlement, single_retries

MAX_RESPONSE_BYTES = 4096
"""The number of bytes of an error's body that the audit keeps."""

MAX_LOOKUP_ATTEMPTS = 20
"""The number of attempts that an operation may have had when its profile id is wrong once more; then it fails."""

MAX_IMMEDIATE_LOOKUPS = 3
"""The number of attempts up to which a profile id that was wrong is searched again without waiting."""

REPLAY = "replay"
"""The remark beside the answer to an event that is sent once more, at the begin of the entry's detail."""

UNKNOWN_OUTCOME_REASON = "whether consent was written is unknown, and it is never sent twice by itself"
"""The end of the reason of operations that are held because their outcome is unknown."""


@dataclass(frozen=True, slots=True)
class ConflictFindings:
    """The findings about identifiers that belong to several profiles, and about the merges of these."""

    policy: OnConflict
    profiles: Sequence[str] = ()
    """The ids of the profiles, that of the strongest identifier first."""
    merging: bool = False
    """True if the others are being merged into the first."""
    newly_merging: bool = False
    """True if one of the merges was asked for just now."""
    merge_error: KlaviyoError | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence that was read from the account after an error, to interpret it."""

    target_error: KlaviyoError | None = None
    """The error of reading the step's target; None where the target is there, or was not read."""
    written: Collection[str] = ()
    """The ids of consent operations whose effect the account shows."""
    conflict: ConflictFindings | None = None


NO_EVIDENCE = Evidence()


def interpret(
    operations: Sequence[StoredOperation],
    outcome: Response | KlaviyoError,
    evidence: Evidence = NO_EVIDENCE,
    *,
    sent: bool = True,
    body: bytes = b"",
    profile_ids: Mapping[str, str] | None = None,
) -> Settlement:
    """Interprets the outcome of one call for its operations, and returns the settlement.

    Without `sent`, a read that prepares their request failed, and nothing was written. `body` is the request's; what
    the answer shows is compared with it. `profile_ids` are those that a list call named, by operation id.
    """
    call = operations[0].operation.call
    if not isinstance(outcome, KlaviyoError):
        return _interpret_success(operations, outcome, body)
    action = action_for(outcome, call if sent else None)
    if action.kind == "check_target":
        action = action_after_check(action, operations[0].operation, evidence.target_error)
    if (settlement := settlement_for(action, operations)) is not None:
        return settlement
    if action.kind == "read_back":
        return _interpret_unknown_consent(operations, action.detail, evidence.written)
    if operations[0].operation.is_gate:
        return _interpret_unreadable(operations, outcome, action)
    if call == Call.BULK_SUBSCRIBE_PROFILES and not sent:
        return _interpret_unreadable(operations, outcome, action)
    if call in PACKED_CALLS:
        return _interpret_rejected_list_call(operations, outcome, profile_ids or {})
    if call in CONSENT_CALLS and len(operations) > 1:
        return _split(operations, outcome)
    if call == Call.CREATE_OR_UPDATE_PROFILE and len(operations) > 1:
        # Coalesced updates go one by one, so that each has an answer of its own.
        return Settlement(retries=single_retries(operations, str(outcome)))
    if evidence.conflict is not None:
        return _interpret_conflict(operations[0], outcome, evidence.conflict)
    return failed(operations, outcome, action.detail)


def failed(operations: Sequence[StoredOperation], error: KlaviyoError, detail: str) -> Settlement:
    """Makes a settlement in which operations fail with Klaviyo's reason."""
    body = error.body[:MAX_RESPONSE_BYTES] if error.body else None
    return Settlement(
        [
            SettledOperation(stored, "failed", status=error.status, response=body, detail=detail)
            for stored in operations
        ]
    )


def sent_remark(operation: Operation) -> str | None:
    """Returns the remark of the audit beside a write's answer: that it was a replay, that its event is not kept, or
    which channels it left out."""
    left_out = operation.body.get("left_out")
    remarks = (
        REPLAY if operation.body.get("replay") else None,
        dropped_event(operation),
        left_out_note(left_out) if left_out else None,
    )
    return "; ".join(filter(None, remarks)) or None


def learned_profiles(body: Any) -> dict[str, Identity]:
    """Reads the profile id from the answer to an upsert, and the identifiers shown with it."""
    resource = resource_of(body)
    if not isinstance(resource.get("id"), str):
        return {}
    shown = attributes_of(resource)
    named = {name: shown[name] for name in IDENTIFIERS if isinstance(shown.get(name), str)}
    return {resource["id"]: Identity(**named)}


def _interpret_success(operations: Sequence[StoredOperation], response: Response, body: bytes) -> Settlement:
    call = operations[0].operation.call
    named = _named_resource(response.body)
    found: Sequence[Difference] | None = None
    if call == Call.CREATE_OR_UPDATE_PROFILE and body:
        shown = attributes_of(resource_of(response.body))
        found = find_differences(json.loads(body)["data"], shown, response.left_out)
    ended = [
        SettledOperation(
            stored,
            "unconfirmed" if call in CONSENT_CALLS or dropped_event(stored.operation) else "written",
            status=response.status,
            response=named,
            detail=sent_remark(stored.operation),
            ms=response.duration_ms,
            differences=differences_of(stored.operation, found, response.left_out, len(operations)),
        )
        for stored in operations
    ]
    return Settlement(
        ended,
        learned_profiles=learned_profiles(response.body) if call == Call.CREATE_OR_UPDATE_PROFILE else {},
    )


def _interpret_unknown_consent(
    operations: Sequence[StoredOperation], detail: str, written: Collection[str]
) -> Settlement:
    """Holds consent that the account does not show, for a person: it is never sent twice."""
    shown = [stored for stored in operations if stored.operation.id in written]
    rest = [stored for stored in operations if stored.operation.id not in written]
    read_back = f"read back after doubt: {detail}"
    held = HeldOperations(rest, Cause.IN_DOUBT, f"{detail}; {UNKNOWN_OUTCOME_REASON}")
    return Settlement(
        [SettledOperation(stored, "written", detail=read_back) for stored in shown],
        held=[held] if rest else (),
    )


def _interpret_unreadable(
    operations: Sequence[StoredOperation], error: KlaviyoError, action: Action
) -> Settlement:
    """Holds gates and subscriptions for which the account could not be read; where an identifier may be the reason,
    the others are read without it."""
    if not isinstance(error, InvalidRequest):
        if operations[0].operation.is_gate:
            return Settlement(held=[HeldOperations(operations, Cause.GATE_UNREADABLE, action.detail)])
        return Settlement(held=[HeldOperations(operations, Cause.CONSENT_UNREADABLE, action.detail)])
    if len(operations) == 1:
        return failed(operations, error, action.detail)
    return _split(operations, error)


def _interpret_rejected_list_call(
    operations: Sequence[StoredOperation], error: KlaviyoError, profile_ids: Mapping[str, str]
) -> Settlement:
    """Sends the rejected rows of a list call singly; a single one is searched again, for its profile may be gone."""
    if len(operations) > 1:
        return _split(operations, error)
    stored = operations[0]
    if not isinstance(error, NotInAccount) or stored.attempts + 1 >= MAX_LOOKUP_ATTEMPTS:
        return failed(operations, error, str(error))
    wait_ms = 0 if stored.attempts < MAX_IMMEDIATE_LOOKUPS else None
    return Settlement(
        retries=[Retry(operations, str(error), wait_ms)],
        forgotten_profile=profile_ids.get(stored.operation.id),
    )


def _interpret_conflict(stored: StoredOperation, error: KlaviyoError, found: ConflictFindings) -> Settlement:
    """Settles an upsert that met a conflict as the connection's policy says (docs/klaviyo.md 2.5, 3.1)."""
    identifiers = stored.operation.profile.identifiers()
    resolution = resolve_conflict(stored.operation, found.policy, found.profiles)
    if resolution.kind == "narrow":
        again = replace(stored, operation=resolution.operation, has_fewer_identifiers=True)
        return Settlement(again=[[again]], again_reason=str(error))
    profiles = " and ".join(found.profiles)
    if found.merge_error is not None:
        action = action_for(found.merge_error, Call.MERGE_PROFILES)
        detail = f"profiles {profiles} could not be merged: {action.detail}"
        return settlement_for(action, [stored]) or failed([stored], found.merge_error, detail)
    if found.merging:
        detail = f"{' and '.join(found.profiles[1:])} is merged into {found.profiles[0]}"
        return Settlement(retries=[Retry([stored], detail, 0 if found.newly_merging else None)])
    owners = profiles or "another profile"
    return failed([stored], error, f"{error} {', '.join(identifiers.values())} belong to {owners}")


def _split(operations: Sequence[StoredOperation], error: KlaviyoError) -> Settlement:
    """Splits a whole request that was rejected, so that nothing of it was written: rejected rows go one by one, the
    rest together.

    Pointers name rows (`/data/3/id`, `/data/attributes/profiles/data/2/attributes/…`); where none does, each half goes
    by itself.
    """
    named: set[int | None] = set()
    if isinstance(error, InvalidRequest | NotInAccount):
        named = {row_index_of(item.pointer) for item in error.errors}
    groups = [[stored] for index, stored in enumerate(operations) if index in named]
    if groups:
        groups.append([stored for index, stored in enumerate(operations) if index not in named])
    else:
        half = len(operations) // 2
        groups = [list(operations[:half]), list(operations[half:])]
    return Settlement(again=[group for group in groups if group], again_reason=str(error))


def _named_resource(body: Any) -> bytes | None:
    """Returns the part of a good answer that the audit keeps: the resource that it names."""
    resource = resource_of(body)
    if not resource:
        return None
    return json.dumps({"data": {"type": resource.get("type"), "id": resource.get("id")}}).encode()
