"""Workflows from files: validate, apply against the live catalog, activate, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.core.catalog import Catalog
from askel_tui.core.drift.dependencies import target_details
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.planning.history import History
from askel_tui.core.planning.replanning import Consents
from askel_tui.core.planning.step_matching import event_steps
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.targets.pinning import Pinned, pin_targets
from askel_tui.core.workflows.consent_choices import missing_choices
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import (
    Workflow,
    line_of,
    step_targets,
)
from askel_tui.core.workflows.scopes import needed_scopes
from askel_tui.core.workflows.upgrade import changed_meanings
from askel_tui.services.history.opted_out import PeopleLifted, preview_lifted
from askel_tui.services.history.past_records import FlowsAnswer, agree_on_flows
from askel_tui.services.replanning import UnsentOperations, preview_replan
from askel_tui.store.journal.rows import Decision, WorkflowState
from askel_tui.store.state.documents import ConnectionDoc, PinnedStep, WorkflowDoc
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import Instance

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client

SECTION_OF_TARGET = {"list": "lists", "segment": "segments", "flow": "flows", "metric": "metrics"}


class InvalidWorkflow(AskelError):
    """A workflow that can't be applied, with all of its problems; nothing was stored."""

    exit_code = ExitCode.REFUSED

    def __init__(self, problems: Sequence[Problem], *, scopes: bool = False) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.only_scopes = scopes
        """True if nothing but missing scopes is wrong."""
        if scopes:
            self.exit_code = ExitCode.KEY_OR_SCOPE


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The result of applying a workflow. `changed` is False where the newest version is the same already."""

    document: WorkflowDoc
    changed: bool
    warnings: tuple[Problem, ...]


def validate(text: str, file: str) -> Workflow:
    """Checks the workflow of a file without the account, and returns it. Raises `InvalidWorkflow` with all problems."""
    workflow, problems = load_workflow(text, file)
    if workflow is None or problems:
        raise InvalidWorkflow(problems)
    if missing := missing_choices(workflow, file):
        raise InvalidWorkflow(missing)
    return workflow


async def apply(instance: Instance, text: str, file: str, actor: str) -> ApplyResult:
    """Stores a workflow as a draft version, checked against the live account.

    Raises `InvalidWorkflow` with every problem at once, `KeyNotStored`, `KlaviyoError`.
    """
    workflow = validate(text, file)
    connection = _find_connection(instance, workflow, file)
    client = await instance.client(connection.name)
    require_scopes(workflow, connection, file)
    catalog = await _read_named_targets(instance, client, workflow, connection)
    pinned = pin_to_catalog(workflow, connection, catalog, file)
    return await _store_version(instance, workflow, connection, pinned, catalog, file, actor)


async def _store_version(
    instance: Instance,
    workflow: Workflow,
    connection: ConnectionDoc,
    pinned: Pinned,
    catalog: Catalog,
    file: str,
    actor: str,
) -> ApplyResult:
    targets = {
        step: PinnedStep(target=each.target, through=each.through, seen=target_details(each, catalog))
        for step, each in pinned.targets.items()
    }
    meanings = (replace(each, file=file) for each in changed_meanings(workflow))
    warnings = (*workflow.warnings, *meanings, *pinned.warnings)
    newest = next((doc for doc in instance.state.workflows() if doc.workflow == workflow.name), None)
    if newest is not None and (newest.source, newest.targets, newest.connection) == (
        workflow.source,
        targets,
        connection.name,
    ):
        return ApplyResult(newest, False, warnings)
    if newest is not None and newest.connection != connection.name:
        message = (
            f"{workflow.name} belongs to {newest.connection}: delete it first, or give this one another name"
        )
        raise InvalidWorkflow(
            [Problem(message, field="connection", file=file, line=line_of(workflow, "connection"))]
        )
    now = instance.clock()
    before = None if newest is None else await instance.applied_version(workflow.name, newest.version)
    kept_ids = {}
    if newest is not None and before is not None:
        new = AppliedWorkflow(workflow, newest.version + 1, "", connection.revision, pinned.targets)
        kept_ids = event_steps(before, new)
    version = await asyncio.to_thread(
        instance.state.save_workflow_version,
        workflow.name,
        connection=connection.name,
        file=file,
        source=workflow.source,
        targets=targets,
        applied=now,
        actor=actor,
        event_steps=kept_ids,
    )
    document = instance.workflow_document(workflow.name, version)
    decision = Decision(
        "apply", actor, connection.name, workflow.name, detail={"version": version, "file": file}
    )
    if await instance.workflow_state(workflow.name) is None:
        draft = WorkflowState(workflow.name, connection.name, "draft", version)
        await instance.journal.set_workflow_state(draft, decision, now)
    else:
        await instance.journal.write_decision(decision, now)
    return ApplyResult(document, True, warnings)


def _find_connection(instance: Instance, workflow: Workflow, file: str) -> ConnectionDoc:
    known = {doc.name: doc for doc in instance.state.connections()}
    if workflow.connection in known:
        return known[workflow.connection]
    raise InvalidWorkflow(
        [
            Problem(
                f"no connection is called {workflow.connection!r}",
                field="connection",
                file=file,
                line=line_of(workflow, "connection"),
                suggestion=did_you_mean(workflow.connection, known),
            )
        ]
    )


async def _read_named_targets(
    instance: Instance, client: Client, workflow: Workflow, connection: ConnectionDoc
) -> Catalog:
    """Reads the catalog sections that the workflow's steps name, and stores them."""
    from askel_tui.services.discovery import custom_properties, discover, with_trigger_filters

    named = [(kind, written) for step in workflow.steps for _, kind, written in step_targets(step)]
    wanted = {SECTION_OF_TARGET[kind] for kind, _ in named if kind in SECTION_OF_TARGET}
    found = await discover(instance, connection.name, client, wanted)
    flows = {written for kind, written in named if kind == "flow"}
    catalog = await with_trigger_filters(client, found.catalog, flows)
    if not any(kind == "property" for kind, _ in named):
        return catalog
    return replace(catalog, properties=await custom_properties(instance, connection.name, client))


def require_scopes(workflow: Workflow, connection: ConnectionDoc, file: str) -> None:
    """Checks the scopes that a workflow needs.

    Raises `InvalidWorkflow` with a problem per step and scope that the connection's key is known to lack.
    """
    problems = [
        Problem(
            f"{step.kind} needs the scope {scope}, which the key of {connection.name} lacks: "
            f"make a key with it and `askel rotate {connection.name}`",
            step=step.id,
            file=file,
            line=line_of(step),
        )
        for step in workflow.steps
        for scope in sorted(needed_scopes(step, connection.revision))
        if connection.scopes.get(scope) == "missing"
    ]
    if problems:
        raise InvalidWorkflow(problems, scopes=True)


def pin_to_catalog(workflow: Workflow, connection: ConnectionDoc, catalog: Catalog, file: str) -> Pinned:
    """Pins the targets of the workflow's steps in the catalog. Raises `InvalidWorkflow` with all problems."""
    pinned = pin_targets(
        workflow, catalog, file=file, only_lists=connection.only_lists, revision=connection.revision
    )
    if pinned.problems:
        raise InvalidWorkflow(pinned.problems)
    return pinned


async def activate(
    instance: Instance,
    workflow: str,
    actor: str,
    *,
    since: str | None = None,
    from_record: str | None = None,
    unsent: Literal["replan", "keep"] | None = None,
    consents: Consents | None = None,
    first: int | None = None,
    flows: FlowsAnswer | None = None,
    resubscribe: int | None = None,
    paused: bool = False,
) -> Mapping[str, Any]:
    """Switches a workflow to its newest version; with `first` it pauses by itself once so many records are sent.

    With `paused` it takes records and sends nothing before it is resumed.

    `unsent` says what becomes of what was not sent under older versions: it is planned anew, or kept as it was planned.
    `flows` says what records of the past do to live flows, `resubscribe` how many people who have opted out may be
    subscribed again. Raises `UnsentOperations`, `PastRecords` and `PeopleLifted` where there are some and nobody said,
    `UnknownWorkflow`, `CommandRefused`; `KlaviyoError` where the flows or the opt-outs can't be read.
    """
    newest = instance.workflow_document(workflow)
    agreed = consents or Consents()
    if unsent is None:
        preview = await preview_replan(instance, workflow, newest.version, agreed)
        if preview.totals.records:
            raise UnsentOperations(preview)
    starts = await agree_on_flows(instance, workflow, since, from_record, flows)
    # History subscribes nobody who opted out since.
    only_past = starts is not None and (since is not None or from_record is not None)
    lifted = None if only_past else await preview_lifted(instance, workflow, since, from_record)
    if lifted is not None and lifted.people > (resubscribe or 0):
        raise PeopleLifted(lifted)
    arguments = {
        "workflow": workflow,
        "version": newest.version,
        "since": since,
        "from_record": from_record,
        "unsent": unsent,
        "consents": asdict(agreed),
        "first": first,
        "paused": paused,
        "history": None if starts is None else History(starts).encode(),
    }
    return await submit(instance, "activate", arguments, actor)


async def replan(
    instance: Instance, workflow: str, actor: str, consents: Consents, *, step: str | None = None
) -> Mapping[str, Any]:
    """Plans anew, under the version that runs, what was not sent under others. Raises as `activate` does.

    With a `step` only records of which an operation of that step is unsent.
    """
    instance.workflow_document(workflow)
    arguments = {"workflow": workflow, "step": step, "consents": asdict(consents)}
    return await submit(instance, "replan", arguments, actor)


async def running_version(instance: Instance, workflow: str) -> int:
    """Returns the version of a workflow that runs; the newest one where none does. Raises `UnknownWorkflow`."""
    state = await instance.workflow_state(workflow)
    return instance.workflow_document(workflow, state.version if state else None).version


async def delete(instance: Instance, workflow: str, actor: str) -> Mapping[str, Any]:
    """Deletes a workflow: its versions, holds, failures and unsent operations. The audit stays."""
    instance.workflow_document(workflow)
    result = await submit(instance, "forget", {"workflow": workflow}, actor)
    await asyncio.to_thread(instance.state.remove_workflow, workflow)
    return result
