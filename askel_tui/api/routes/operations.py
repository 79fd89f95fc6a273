"""Operating: health, metrics, the audit and its stream, commands to workflows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from starlette.responses import Response, StreamingResponse

from askel_tui.api.shared.context import ApiContext, authorize, context_of, token_actor
from askel_tui.api.shared.errors import error_responses
from askel_tui.api.shared.metrics import CONTENT_TYPE
from askel_tui.api.shared.metrics_page import render_metrics
from askel_tui.api.shared.models import AuditPage, Health, Time, WorkflowAnswer
from askel_tui.core.planning.replanning import Consents
from askel_tui.services import workflows
from askel_tui.services.outages import describe_outages, read_outages
from askel_tui.services.replanning import UnsentOperations, preview_replan
from askel_tui.store.errors import StoreError, UnknownWorkflow
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.store.state.tokens import TokenDoc
from askel_tui.sync.engine.command_bus import submit
from askel_tui.text.times import to_rfc3339

HEARTBEAT_INTERVAL_S = 15.0
"""Interval at which a silent stream sends a comment, so that proxies keep it open, in seconds."""

router = APIRouter(tags=["Operating"])

RouteFunction = Callable[..., Awaitable[Mapping[str, Any]]]


@router.get(
    "/healthz",
    response_model=Health,
    response_model_exclude_none=True,
    summary="Does the process work?",
    responses={503: {"model": Health, "description": "It does not."}},
)
async def healthz(request: Request, response: Response) -> dict[str, Any]:
    """Liveness: 503 where the journal can't be read."""
    try:
        await context_of(request).instance.journal.counts()
    except StoreError as error:
        response.status_code = 503
        return {"ok": False, "why": [str(error)]}
    return {"ok": True}


@router.get(
    "/readyz",
    response_model=Health,
    response_model_exclude_none=True,
    summary="May requests come here?",
    responses={503: {"model": Health, "description": "Not now."}},
)
async def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Readiness: 503 while the daemon stops, and while disk or backlog are at their limit.

    An outage of Klaviyo is in the body only: records are taken meanwhile.
    """
    context = context_of(request)
    why = [context.backpressure.reason] if context.backpressure.reason else []
    if context.stopping.is_set():
        why.append("the daemon is stopping")
    response.status_code = 503 if why else 200
    outages = await read_outages(context.instance)
    return {"ok": not why, "why": why, "klaviyo": describe_outages(outages, context.instance.clock())}


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text format 0.0.4."},
        **error_responses(401, 403, 429, 503),
    },
)
async def metrics(request: Request) -> Response:
    """Needs the scope `operate`. A token of some connections sees the samples of these only."""
    token = authorize(request, "operate")
    return Response(await render_metrics(context_of(request), token), media_type=CONTENT_TYPE)


class AuditQuery(BaseModel):
    """A filter of audit entries; an entry has to match every part that is given."""

    model_config = ConfigDict(extra="forbid")

    workflow: str | None = None
    step: str | None = None
    record: str | None = None
    profile: Annotated[str | None, Query(description="E-mail, phone or external id.")] = None
    status: str | None = None
    kind: str | None = None
    actor: Annotated[str | None, Query(description="Who it was, or who a record claims.")] = None
    since: Time | None = None
    until: Time | None = None
    text: str | None = None
    differing: Annotated[
        bool, Query(description="Only entries of which Klaviyo's answer differs from what was sent.")
    ] = False
    after: Annotated[int, Query(ge=0, le=2**62, description="Only entries with a larger `position`.")] = 0

    def to_filter(self, connection: str) -> AuditFilter:
        """Returns the filter for the journal."""
        words = self.model_dump(
            include={"workflow", "step", "record", "profile", "status", "kind", "text", "actor", "differing"}
        )
        return AuditFilter(connection=connection, since=_ms(self.since), until=_ms(self.until), **words)


class AuditPageQuery(AuditQuery):
    """A filter of audit entries, with the size of a page."""

    limit: Annotated[int, Query(ge=1, le=1000)] = 100


def _ms(time: str | None) -> int | None:
    return None if time is None else int(datetime.fromisoformat(time).timestamp() * 1000)


@router.get(
    "/v1/connections/{name}/audit",
    response_model=AuditPage,
    responses=error_responses(401, 403, 404, 422, 429, 503),
    summary="What was written and decided",
)
async def audit(request: Request, name: str, query: Annotated[AuditPageQuery, Query()]) -> Response:
    """One page of entries, oldest first. Needs the scope `operate`."""
    authorize(request, "operate", name)
    journal = context_of(request).instance.journal
    entries = await journal.audit_entries(query.to_filter(name), after=query.after, limit=query.limit)
    more = entries[-1].position if len(entries) == query.limit else None
    page = {"entries": [audit_row(entry) for entry in entries], "next": more}
    return Response(json.dumps(page), media_type="application/json")


def audit_row(entry: AuditEntry) -> Mapping[str, Any]:
    """Returns an entry as JSON, in the same form as the command line prints it."""
    return {**asdict(entry), "at": to_rfc3339(entry.at)}


@router.get(
    "/v1/connections/{name}/audit/stream",
    summary="The audit as it is written",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Server-sent events.",
        },
        **error_responses(401, 403, 404, 422, 429, 503),
    },
)
async def tail(
    request: Request,
    name: str,
    query: Annotated[AuditQuery, Query()],
    last_event_id: Annotated[int | None, Header(ge=0, le=2**62)] = None,
) -> StreamingResponse:
    """Server-sent events: `id` is an entry's `position`, `data` the entry. `Last-Event-ID` resumes after that entry."""
    token = authorize(request, "operate", name)
    context = context_of(request)
    after = query.after or last_event_id
    if after is None or after == 0:
        newest = await context.instance.journal.audit_entries(AuditFilter(), limit=1, newest=True)
        after = newest[0].position if newest else 0
    events = _audit_events(context, token, query.to_filter(name), after)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _audit_events(
    context: ApiContext, token: TokenDoc, entry_filter: AuditFilter, after: int
) -> AsyncIterator[str]:
    """Yields entries as server-sent events, until the server stops or the token is revoked or expires."""
    yield ": askel audit\n\n"
    entries = context.instance.journal.follow_audit(entry_filter, after)
    stopping = asyncio.create_task(context.stopping.wait())
    coming: asyncio.Task[AuditEntry] | None = None
    try:
        while not stopping.done():
            if coming is None:
                coming = asyncio.create_task(_next_entry(entries))
            await asyncio.wait(
                {coming, stopping}, timeout=HEARTBEAT_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not context.is_valid(token):
                return
            if not coming.done():
                yield ": still here\n\n"
                continue
            try:
                entry = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield f"id: {entry.position}\nevent: audit\ndata: {json.dumps(audit_row(entry))}\n\n"
    finally:
        for task in (coming, stopping):
            if task is not None:
                task.cancel()


async def _next_entry(entries: AsyncIterator[AuditEntry]) -> AuditEntry:
    return await anext(entries)


def _whole(value: Any) -> Any:
    """Takes 3.0 for 3, as JSON Schema does; pydantic's strict integers don't, and its others take `true` for 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Activation(BaseModel):
    """The first record that an activated workflow processes: without any, the next one that comes in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{}, {"since": "2026-11-01T00:00:00Z"}, {"unsent": "replan"}]},
    )

    since: Time | None = None
    from_record: str | None = None
    first: Annotated[int, Field(strict=True, ge=1, le=100_000), BeforeValidator(_whole)] | None = None
    """After so many records are sent it pauses by itself; resume sends the others."""
    unsent: Literal["replan", "keep"] | None = None
    """What becomes of what is unsent under older versions. Without an answer the request is refused with a preview."""
    flows: Literal["fire", "history"] | None = None
    """Whether records older than an hour start live flows and subscribe people, or are written as history. Without an
    answer the request is refused with a preview where they would."""
    resubscribe: Annotated[int, Field(strict=True, ge=0, le=10**9), BeforeValidator(_whole)] | None = None
    """How many people who have opted out may be subscribed again; the request is refused with a preview where it would
    be more."""
    with_consent: StrictBool = False
    close_unmatched: StrictBool = False
    accept_identity: StrictBool = False


def _command_route(order: str, summary: str) -> Callable[[RouteFunction], RouteFunction]:
    return router.api_route(
        f"/v1/connections/{{name}}/workflows/{{workflow}}/{order}",
        methods=["POST"],
        response_model=WorkflowAnswer,
        responses=error_responses(400, 401, 403, 404, 408, 409, 413, 422, 429, 503),
        summary=summary,
    )


@_command_route("pause", "Pause a workflow")
async def pause(request: Request, name: str, workflow: str) -> Mapping[str, Any]:
    """Its records wait until it is resumed. Needs the scope `operate`, as resume and activate do."""
    return await _submit(request, name, workflow, "pause")


@_command_route("resume", "Resume a workflow")
async def resume(request: Request, name: str, workflow: str) -> Mapping[str, Any]:
    """The operations that waited are sent."""
    return await _submit(request, name, workflow, "resume")


@_command_route("activate", "Activate a workflow's newest version")
async def activate(
    request: Request, name: str, workflow: str, body: Activation | None = None
) -> Mapping[str, Any]:
    """What is unsent under older versions is planned anew or kept, as `unsent` says, and records of the past start
    flows or not, as `flows` says; 409 with a preview where that has to be said and is not."""
    token, context = _authorize_operator(request, name, workflow)
    start = body or Activation()
    return await workflows.activate(
        context.instance,
        workflow,
        token_actor(token),
        since=start.since,
        from_record=start.from_record,
        unsent=start.unsent,
        first=start.first,
        flows=start.flows,
        resubscribe=start.resubscribe,
        consents=Consents(start.with_consent, start.close_unmatched, start.accept_identity),
    )


class Replan(BaseModel):
    """What is planned anew under the version that runs: what waits of a step, or all that waits."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"unsent": "replan"}, {"step": "welcome"}]}
    )

    step: str | None = None
    unsent: Literal["replan"] | None = None
    """Says that it is to be done. Without it the request is refused with a preview."""
    with_consent: StrictBool = False
    close_unmatched: StrictBool = False
    accept_identity: StrictBool = False


@_command_route("replan", "Plan anew what older versions have not sent")
async def replan(request: Request, name: str, workflow: str, body: Replan | None = None) -> Mapping[str, Any]:
    """What was sent, or may have been, stays as it is; 409 with a preview where `unsent` says nothing."""
    token, context = _authorize_operator(request, name, workflow)
    asked = body or Replan()
    instance, step = context.instance, asked.step
    consents = Consents(asked.with_consent, asked.close_unmatched, asked.accept_identity)
    version = await workflows.running_version(instance, workflow)
    if asked.unsent is None:
        preview = await preview_replan(instance, workflow, version, consents, step=step)
        if preview.totals.records:
            raise UnsentOperations(preview)
    done = await workflows.replan(instance, workflow, token_actor(token), consents, step=step)
    state = await instance.workflow_state(workflow)
    return {**done, "state": state.status if state else "draft"}


async def _submit(request: Request, name: str, workflow: str, order: str) -> Mapping[str, Any]:
    token, context = _authorize_operator(request, name, workflow)
    return await submit(context.instance, order, {"workflow": workflow}, token_actor(token))


def _authorize_operator(request: Request, name: str, workflow: str) -> tuple[TokenDoc, ApiContext]:
    """Returns the token and the server's state.

    Raises `UnknownWorkflow`, for a workflow of another connection as well.
    """
    token = authorize(request, "operate", name)
    context = context_of(request)
    of_connection = [doc.workflow for doc in context.instance.state.workflows() if doc.connection == name]
    if workflow not in of_connection:
        raise UnknownWorkflow(workflow, of_connection)
    return token, context
