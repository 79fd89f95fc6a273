"""Rehearsal: what real records and what waits would be at another revision, tried on an account on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.revisions import NEWEST
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.requests.packing import PACKED_CALLS, build_request
from askel_tui.core.requests.revision_differences import (
    RevisionDifference,
    calls_of,
    contract_differences,
    request_differences,
    touched_calls,
    unsayable,
)
from askel_tui.core.workflows.scopes import CALLS_OF_STEPS, needed_scopes
from askel_tui.klaviyo.errors import KlaviyoError, NotInAccount
from askel_tui.services.connections import ConnectionRefused, check_revision
from askel_tui.store.journal.rows import AuditFilter, Decision
from askel_tui.store.state.documents import ConnectionDoc
from askel_tui.sync.instance import Instance

REHEARSE_KIND = "rehearse"
"""The kind of the audit entry of a rehearsal."""

DEFAULT_RECORD_COUNT = 30
"""The number of newest records of each workflow that are tried."""

MAX_TRIED_WAITING = 500
"""The number of operations that wait which are sent to the account on this machine; all are built and compared."""

OPERATIONS_PER_READ = 2_000


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The result of a rehearsal. `attention` says what a person has to look at; safe without any."""

    connection: str
    old: str
    new: str
    workflows: Mapping[str, int]
    """The version of each workflow that was tried."""
    records: int
    """The number of records that were tried, counted once for each workflow."""
    waiting: int
    """The number of operations that wait, are held or failed: all were built at both revisions."""
    tried: int
    """The number of requests that the account on this machine answered at the new revision."""
    differences: tuple[RevisionDifference, ...]
    attention: tuple[str, ...]

    @property
    def is_safe(self) -> bool:
        """True if nothing needs attention."""
        return not self.attention

    def as_dict(self) -> dict[str, Any]:
        """Converts the rehearsal to plain JSON values."""
        return {**asdict(self), "safe": self.is_safe}


async def rehearse(
    instance: Instance,
    name: str,
    actor: str,
    *,
    to: str | None = None,
    last: int = DEFAULT_RECORD_COUNT,
) -> Rehearsal:
    """Tries a move of a connection and writes nothing to its account; the audit keeps the result.

    Raises `UnknownConnection`, `ConnectionRefused`, `KeyNotStored`, `KlaviyoError`.
    """
    document = instance.state.connection(name)
    old, new = document.revision, check_revision(to or NEWEST)
    if new == old:
        raise ConnectionRefused(f"{name} is at {new} already: there is no move to try")
    attention: list[str] = []
    workflows = await current_versions(instance, name)
    planned, calls, records = await _plan_records(instance, workflows, new, last, attention)
    waiting = await _read_waiting(instance, name)
    everything = [*planned, *waiting]
    differences = _differences(everything, calls, old, new)
    refused: dict[str, int] = {}
    for operation in everything:
        why = unsayable(operation, new)
        if why is not None:
            refused[f"step {operation.step}: {why}"] = refused.get(f"step {operation.step}: {why}", 0) + 1
    attention += [f"{words} ({count:,} operations would be held)" for words, count in refused.items()]
    sayable = [each for each in planned if unsayable(each, new) is None]
    sayable += [each for each in waiting[:MAX_TRIED_WAITING] if unsayable(each, new) is None]
    tried = await _try_on_sandbox(instance, document, new, sayable, attention)
    attention += _lacking_scopes(instance, document, new)
    attention += await _lost_targets(instance, document, new)
    result = Rehearsal(
        name,
        old,
        new,
        workflows,
        records,
        len(waiting),
        tried,
        differences,
        tuple(dict.fromkeys(attention)),
    )
    detail = {
        "from": old,
        "to": new,
        "workflows": dict(result.workflows),
        "records": records,
        "waiting": len(waiting),
        "attention": list(result.attention),
    }
    await instance.journal.write_decision(
        Decision(REHEARSE_KIND, actor, name, detail=detail), instance.clock()
    )
    return result


async def current_versions(instance: Instance, connection: str) -> dict[str, int]:
    """Returns the version that runs of each of a connection's workflows, of a draft the newest."""
    versions = {
        doc.workflow: doc.version for doc in instance.state.workflows() if doc.connection == connection
    }
    for state in await instance.journal.workflow_states():
        if state.workflow in versions and state.status != "draft":
            versions[state.workflow] = state.version
    return versions


async def last_rehearsal(instance: Instance, document: ConnectionDoc, to: str) -> Mapping[str, Any] | None:
    """Finds the last rehearsal of a move, if it tried the workflows as they are now."""
    wanted = AuditFilter(connection=document.name, kind=REHEARSE_KIND)
    for entry in reversed(await instance.journal.audit_entries(wanted, limit=20, newest=True)):
        detail: Mapping[str, Any] = (entry.response or {}).get("detail") or {}
        if (detail.get("from"), detail.get("to")) == (document.revision, to):
            current = detail.get("workflows") == await current_versions(instance, document.name)
            return detail if current else None
    return None


async def _plan_records(
    instance: Instance, workflows: Mapping[str, int], new: str, last: int, attention: list[str]
) -> tuple[list[Operation], set[Call], int]:
    """Plans the newest records of each workflow at both revisions; returns the operations at the new one, the calls of
    all steps, and how many records there were."""
    operations: list[Operation] = []
    calls: set[Call] = set()
    records = 0
    for name, version in workflows.items():
        applied = await instance.applied_version(name, version)
        if applied is None:
            attention.append(f"workflow {name}: version {version} can't be read any more")
            continue
        for step in applied.workflow.steps:
            named = applied.targets.get(step.id)
            calls |= calls_of(CALLS_OF_STEPS[step.kind], (named.target, named.through) if named else ())
        at_new = replace(applied, revision=new)
        found = await _newest_records(instance, applied, last)
        records += len(found)
        for record in found:
            before, after = plan(record, applied), plan(record, at_new)
            assert before is not None
            assert after is not None
            operations += after.operations
            known = {(each.step, each.field) for each in before.problems}
            attention += [
                f"workflow {name}, step {each.step or 'profile'}: {each.message}"
                for each in after.problems
                if (each.step, each.field) not in known
            ]
    return operations, calls, records


async def _newest_records(instance: Instance, applied: AppliedWorkflow, last: int) -> list[Any]:
    page = await instance.journal.newest_records(
        applied.workflow.connection, max(last * 4, last), events=applied.workflow.triggers
    )
    return [each.record for each in page if plan(each.record, applied) is not None][:last]


async def _read_waiting(instance: Instance, connection: str) -> list[Operation]:
    found: list[Operation] = []
    after = 0
    while page := await instance.journal.queued_operations(connection, after, OPERATIONS_PER_READ):
        after = page[-1].seq
        found += [stored.operation for stored in page]
    return found


def _differences(
    operations: Sequence[Operation], calls: set[Call], old: str, new: str
) -> tuple[RevisionDifference, ...]:
    found = contract_differences(calls | touched_calls(operations), old, new)
    for each in operations:
        if unsayable(each, old) is None and unsayable(each, new) is None:
            found += request_differences(each, old, new)
    return tuple(dict.fromkeys(found))


async def _try_on_sandbox(
    instance: Instance,
    document: ConnectionDoc,
    new: str,
    operations: Sequence[Operation],
    attention: list[str],
) -> int:
    """Sends the requests to an account on this machine that serves the new revision; returns how many it answered."""
    from askel_tui.klaviyo.client import Client
    from askel_tui.sandbox.http.server import serve

    lists = {
        target.id: target.name
        for each in operations
        for target in (each.target, each.through)
        if target is not None and target.type == "list" and target.id
    }
    sandbox = await serve(seed="empty", settings={"limits": False, "job_time": 0.0, "log": False})
    try:
        async with Client(key=sandbox.key, revision=new, url=sandbox.url, accept_retired=True) as client:
            for ident, called in lists.items():
                _make_list(sandbox, ident, called)
            tried = 0
            ids: dict[Identity, str] = {}
            for operation in operations:
                if operation.is_gate:
                    continue
                try:
                    if operation.call in PACKED_CALLS and operation.profile not in ids:
                        ids[operation.profile] = await _make_profile(client, operation, new)
                    known = {operation.id: ids.get(operation.profile, "")}
                    request = build_request([operation], new, known)
                    await client.call(request.call, ids=request.ids, body=request.body)
                except KlaviyoError as error:
                    attention.append(f"step {operation.step}: refused at {new}: {error}")
                tried += 1
            return tried
    finally:
        await sandbox.aclose()


def _make_list(sandbox: Any, ident: str, name: str) -> None:
    import time

    from askel_tui.sandbox.http import control_groups

    body = {"name": name, "id": ident}
    control_groups.respond(sandbox.account, "POST", ["lists"], body, time.time())


async def _make_profile(client: Any, operation: Operation, revision: str) -> str:
    bare = replace(
        operation,
        kind="upsert_profile",
        call=Call.CREATE_OR_UPDATE_PROFILE,
        target=None,
        through=None,
        body={"attributes": {}, "properties": {}, "unset": []},
    )
    answer = await client.call(bare.call, body=build_request([bare], revision, {}).body)
    return str(answer.body["data"]["id"])


def _lacking_scopes(instance: Instance, document: ConnectionDoc, new: str) -> list[str]:
    from askel_tui.core.workflows.loader import load_workflow

    found = []
    for doc in instance.state.workflows():
        workflow, _ = load_workflow(doc.source, doc.file or doc.workflow)
        if doc.connection != document.name or workflow is None:
            continue
        for step in workflow.steps:
            lacking = [
                each for each in sorted(needed_scopes(step, new)) if document.scopes.get(each) == "missing"
            ]
            if lacking:
                found.append(f"workflow {doc.workflow}, step {step.id}: the key lacks {', '.join(lacking)}")
    return found


async def _lost_targets(instance: Instance, document: ConnectionDoc, new: str) -> list[str]:
    """Reads what the steps name, at the new revision, and lists what is not there."""
    client = await instance.find_client(document.name, new)
    found: list[str] = []
    read: set[tuple[str, str]] = set()
    for doc in instance.state.workflows():
        if doc.connection != document.name or client is None:
            continue
        for step, pinned in doc.targets.items():
            for target in (pinned.target, pinned.through):
                if target is None or target.id is None or target.type not in ("list", "segment", "flow"):
                    continue
                if (target.type, target.id) in read:
                    continue
                read.add((target.type, target.id))
                try:
                    await client.call(Call(f"get_{target.type}"), ids={"id": target.id})
                except NotInAccount:
                    found.append(
                        f"workflow {doc.workflow}, step {step}: the {target.type} {target.name} is gone"
                    )
                except KlaviyoError as error:
                    found.append(
                        f"workflow {doc.workflow}, step {step}: {target.type} {target.name} can't be read: {error}"
                    )
    return found
