"""The dry run: what records would do under a workflow, beside what the account holds now. Writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.core import diff, packing
from askel_tui.core.catalogs import FlowEntry
from askel_tui.core.diff import Seen
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning import NEEDS_PROFILE_ID, Plan, plan
from askel_tui.core.problems import Problem
from askel_tui.core.records import Record
from askel_tui.core.step_planning import Applied
from askel_tui.sync.instance import Instance
from askel_tui.sync.planner import problem_row

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client

LAST = 30
"""How many records a dry run takes without being told."""

PAGE = 500
"""Kept records looked through at a time for ones that match."""

UNKNOWN_ID = "<profile id>"
"""Stands in a request for the id of a profile that the account does not know yet."""


class NotRun(Exception):
    """A dry run that can't be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Account:
    """What was read of the account for the records at hand."""

    profiles: Mapping[Identity, Seen]
    others: Mapping[Identity, tuple[str, ...]]
    """Ids of further profiles that hold one of the identifiers: an upsert would meet a conflict."""
    facts: Mapping[tuple[str, Identity], bool | None]


async def dry_run(
    instance: Instance,
    workflow: str,
    *,
    last: int | None = None,
    records: Sequence[Record] | None = None,
    version: int | None = None,
) -> dict[str, Any]:
    """The dry run as the command line's JSON document (design: JSON), oldest record first.

    Takes the newest `last` kept records with a matching trigger and a true `when` (30 without `last`), or of the given
    records all of those, or their newest `last`. Raises `UnknownWorkflow`, `NotRun`, `KlaviyoError`.
    """
    document = instance.document(workflow, version)
    applied = await instance.applied(workflow, document.version)
    if applied is None:
        raise NotRun(f"version {document.version} of {workflow} can't be read any more: apply its file again")
    client = await instance.client(document.connection)
    if client is None:
        raise NotRun(
            f"no key is stored for {document.connection}: `askel rotate {document.connection} --key-stdin` stores one"
        )
    if records is None:
        chosen = await _newest(instance, applied, last or LAST)
    else:
        chosen = _matching(records, applied)[-last if last else 0 :]
    account = await _read(client, [found for _, found in chosen])
    shown = []
    totals = _Totals()
    for record, _ in chosen:
        planned = plan(record, applied, account.facts)
        if planned is not None:
            shown.append(_record(planned, applied, account, totals))
    flows = await _flows(client)
    return {
        "workflow": workflow,
        "version": document.version,
        "connection": document.connection,
        "records": shown,
        "totals": totals.as_dict(flows),
    }


async def _flows(client: Client) -> tuple[FlowEntry, ...]:
    """The account's flows with what triggers them; none where the key may not read them."""
    from askel_tui.klaviyo.catalog import read_catalog

    return (await read_catalog(client, sections=["flows", "lists", "segments", "metrics"])).flows


async def _newest(instance: Instance, applied: Applied, last: int) -> list[tuple[Record, Plan]]:
    found: list[tuple[Record, Plan]] = []
    before: int | None = None
    while len(found) < last:
        page = await instance.journal.newest_records(
            applied.workflow.connection, PAGE, events=applied.workflow.triggers, before=before
        )
        for stored in page:
            planned = plan(stored.record, applied)
            if planned is not None and len(found) < last:
                found.append((stored.record, planned))
        if len(page) < PAGE:
            break
        before = page[-1].seq
    return found[::-1]


def _matching(records: Iterable[Record], applied: Applied) -> list[tuple[Record, Plan]]:
    planned = ((record, plan(record, applied)) for record in records)
    return [(record, found) for record, found in planned if found is not None]


async def _read(client: Client, plans: Sequence[Plan]) -> _Account:
    """Reads profiles, list members and gates for all plans, 100 profiles a call."""
    from askel_tui.klaviyo.profiles import find_profiles, members_of_list, members_of_segment

    identities = list(dict.fromkeys(each.profile for each in plans if each.operations))
    by_profile: dict[str, Seen] = {}
    profiles: dict[Identity, Seen] = {}
    by_key: dict[str, Seen] = {}
    found = await find_profiles(client, identities)
    for identity in identities:
        read = found.get(identity)
        if read is not None:
            seen = by_profile.setdefault(
                read.id,
                Seen(read.id, flattened(read.attributes), dict(read.attributes.get("properties") or {})),
            )
        else:
            # Records that share an identifier are one profile, known or not.
            seen = next((by_key[key] for key in identity.keys() if key in by_key), Seen())
        profiles[identity] = seen
        by_key.update(dict.fromkeys(identity.keys(), seen))
    operations = [operation for each in plans for operation in each.operations]
    for list_id in _destinations(operations, "list"):
        asked = _asked(operations, "list", list_id)
        for identity, member in (await members_of_list(client, list_id, asked)).items():
            if member:
                profiles[identity].lists.add(list_id)
    facts: dict[tuple[str, Identity], bool | None] = {}
    for segment_id in _destinations(operations, "segment"):
        asked = _asked(operations, "segment", segment_id)
        for identity, member in (await members_of_segment(client, segment_id, asked)).items():
            facts[segment_id, identity] = member
    others = {identity: read.others for identity, read in found.items() if read is not None and read.others}
    return _Account(profiles, others, facts)


def _destinations(operations: Iterable[Operation], kind: str) -> list[str]:
    found = (operation.destination for operation in operations)
    return list(dict.fromkeys(each.id for each in found if each and each.type == kind and each.id))


def _asked(operations: Iterable[Operation], kind: str, target: str) -> list[Identity]:
    return list(
        dict.fromkeys(
            operation.profile
            for operation in operations
            if operation.destination
            and operation.destination.type == kind
            and operation.destination.id == target
        )
    )


def _record(planned: Plan, applied: Applied, account: _Account, totals: _Totals) -> dict[str, Any]:
    seen = account.profiles.get(planned.profile, Seen())
    new = bool(planned.operations) and seen.id is None
    operations = []
    for operation in planned.operations:
        changed = diff.changes(operation, seen)
        request = None if operation.is_gate else _request(operation, applied.revision, seen)
        operations.append(
            {
                "step": operation.step,
                "kind": operation.kind,
                "target": operation.target and operation.target.as_dict(),
                "changes": changed,
                "request": request,
            }
        )
        totals.count(operation, changed)
        diff.apply(operation, seen)
    totals.record(planned, new, any(each["changes"] for each in operations))
    return {
        "record": planned.record,
        "profile": planned.profile.identifiers(),
        "new": new,
        "operations": operations,
        "skipped": [{"step": skip.step, "why": skip.why} for skip in planned.skipped],
        "problems": [problem_row(problem) for problem in (*planned.problems, *_conflicts(planned, account))],
    }


def _conflicts(planned: Plan, account: _Account) -> list[Problem]:
    """A problem where an upsert's identifiers belong to several profiles: Klaviyo answers 409 (contract.md 3.1)."""
    others = account.others.get(planned.profile)
    upsert = next((each for each in planned.operations if each.call == "create_or_update_profile"), None)
    if not others or upsert is None:
        return []
    ids = ", ".join((account.profiles[planned.profile].id or "", *others))
    told = f"the identifiers belong to {len(others) + 1} profiles ({ids}): Klaviyo would refuse the write"
    return [Problem(told, field="profile", step=upsert.step)]


def _request(operation: Operation, revision: str, seen: Seen) -> dict[str, Any]:
    known = seen.id if seen.id not in (None, "new") else None
    ids = {operation.id: known or UNKNOWN_ID} if operation.call in NEEDS_PROFILE_ID else {}
    made = packing.request([operation], revision, ids)
    return {"method": made.method, "path": made.path, "body": json.loads(made.body)}


def flattened(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A profile's attributes with the parts of its location under dotted names."""
    flat = {name: value for name, value in attributes.items() if name != "location"}
    flat.update({f"location.{name}": value for name, value in (attributes.get("location") or {}).items()})
    return flat


class _Totals:
    """Counts over a dry run, and how many people each live flow would start for."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.added: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.reached: dict[tuple[str, str], set[Identity]] = {}

    def count(self, operation: Operation, changed: Mapping[str, Any]) -> None:
        """Takes an operation into account that the dry run shows."""
        destination = operation.destination
        if operation.call == "create_event":
            self.events[operation.body["metric"]] += 1
        elif not changed:
            return
        elif operation.call == "add_profiles_to_list" and destination:
            self.added[destination.name] += 1
        elif operation.call == "remove_profiles_from_list" and destination:
            self.removed[destination.name] += 1
        elif operation.call in ("bulk_subscribe_profiles", "bulk_unsubscribe_profiles"):
            self.counts[f"{operation.kind}d"] += 1
        if destination and destination.id:
            self.reached.setdefault((destination.type, destination.id), set()).add(operation.profile)

    def record(self, planned: Plan, new: bool, changed: bool) -> None:
        """Takes a whole record into account."""
        self.counts["records"] += 1
        self.counts["new"] += new
        self.counts["problems"] += bool(planned.problems)
        self.counts["skipped"] += bool(planned.skipped)
        if planned.operations and not new:
            self.counts["changed" if changed else "unchanged"] += 1

    def as_dict(self, flows: Iterable[FlowEntry]) -> dict[str, Any]:
        """The totals as the command line's JSON shows them."""
        started = {}
        for flow in flows:
            if flow.status != "live" or flow.archived:
                continue
            people = [
                self.reached.get((trigger.type, trigger.id or ""), set()) for trigger in flow.triggers or ()
            ]
            if any(people):
                started[flow.name] = len(set().union(*people))
        words = (
            "records",
            "new",
            "changed",
            "unchanged",
            "skipped",
            "problems",
            "subscribed",
            "unsubscribed",
        )
        return {
            **{word: self.counts[word] for word in words},
            "added": dict(self.added),
            "removed": dict(self.removed),
            "events": dict(self.events),
            "flows": started,
        }
