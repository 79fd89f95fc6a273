"""Direct writes: planned, budgeted, sent and audited as a workflow's are, with the token as the actor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from askel_tui.api.shared.context import ApiContext, authorize, context_of, token_actor
from askel_tui.api.shared.errors import ApiError, error_responses, problem_rows
from askel_tui.api.shared.idempotency import KEY_PARAMETER, idempotency_key, respond_once
from askel_tui.api.shared.ingest import refuse_under_pressure
from askel_tui.api.shared.models import EventWrite, FlowFire, ListMember, ProfileWrite, Receipt, WriteAnswer
from askel_tui.core.catalog import Catalog
from askel_tui.core.expressions.expression import Expression, parse_expression
from askel_tui.core.workflows.model import AddToList, Field, RemoveFromList, Step, TrackEvent, UpsertProfile
from askel_tui.services.direct import writes
from askel_tui.services.direct.requests import list_membership_warnings, prepare_flow_trigger
from askel_tui.services.discovery import with_trigger_filters
from askel_tui.services.workflows import InvalidWorkflow
from askel_tui.store.state.tokens import TokenDoc

PREPARE_TIMEOUT_S = 10.0
"""Time that a write may wait for the names that it has to resolve in the account, in seconds."""

WRITE_TIMEOUT_S = 20.0
"""Time that a synchronous write waits for its receipts, in seconds; operations without one by then are sent all the
same."""

RouteFunction = Callable[..., Awaitable[Response]]
PrepareFunction = Callable[[], Awaitable[tuple[writes.PreparedWrite, list[str]]]]
"""A function that plans a write, and gives it with warnings."""

router = APIRouter(tags=["Direct writes"])


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A write that was requested, with the token that requests it."""

    request: Request
    connection: str
    wait: bool
    token: TokenDoc

    @property
    def context(self) -> ApiContext:
        """The state of the server."""
        return context_of(self.request)

    @property
    def key(self) -> str | None:
        """The Idempotency-Key. Raises `ApiError`."""
        return idempotency_key(self.request, self.token)


def _write_request(
    request: Request,
    name: str,
    wait: Annotated[
        bool, Query(description="Wait for Klaviyo's answer; false: the write is kept and done soon.")
    ] = True,
) -> WriteRequest:
    asked = WriteRequest(request, name, wait, authorize(request, "send", name))
    refuse_under_pressure(asked.context)
    return asked


WriteRequestParam = Annotated[WriteRequest, Depends(_write_request)]


def _write_route(path: str, summary: str, method: str = "POST") -> Callable[[RouteFunction], RouteFunction]:
    return router.api_route(
        f"/v1/connections/{{name}}/{path}",
        methods=[method],
        summary=summary,
        response_model=WriteAnswer,
        responses={
            **error_responses(400, 401, 403, 404, 408, 409, 413, 422, 429, 502, 503),
            202: {"model": WriteAnswer, "description": "Kept, and not yet answered by Klaviyo."},
        },
        openapi_extra={"parameters": [KEY_PARAMETER]},
    )


@_write_route("profiles", "Write a profile")
async def write_profile(asked: WriteRequestParam, body: ProfileWrite) -> Response:
    """Creates the profile where there is none."""
    flat = body.attributes.flatten()
    step = UpsertProfile(
        "profile",
        {
            key: Field(_data_expression("attributes", key), "null" if value is None else None)
            for key, value in flat.items()
        },
        {
            key: Field(_data_expression("properties", key), "null" if value is None else None)
            for key, value in body.properties.items()
        },
    )
    return await _write_step(asked, step, body, data={"attributes": flat, "properties": body.properties})


@_write_route("lists/{list}/members", "Put a profile on a list")
async def add_member(asked: WriteRequestParam, list: str, body: ListMember) -> Response:  # noqa: A002
    """Gives no consent. Creates the profile where there is none."""
    return await _write_step(asked, AddToList("add", list), body, "lists")


@_write_route("lists/{list}/members", "Take a profile off a list", "DELETE")
async def remove_member(asked: WriteRequestParam, list: str, body: ListMember) -> Response:  # noqa: A002
    """Withdraws no consent. Never creates a profile."""
    return await _write_step(asked, RemoveFromList("remove", list), body, "lists")


@_write_route("events", "Write an event")
async def write_event(asked: WriteRequestParam, body: EventWrite) -> Response:
    """Its `unique_id` comes from the Idempotency-Key, so an event that is sent again is one event."""
    data = body.model_dump(include={"properties", "value", "value_currency", "time"})
    step = TrackEvent(
        "event",
        body.metric,
        value=_optional_expression(data, "value"),
        value_currency=_optional_expression(data, "value_currency"),
        properties={key: _data_expression("properties", key) for key in body.properties},
        time=_optional_expression(data, "time"),
    )
    return await _write_step(asked, step, body, "metrics", data=data)


@_write_route("flows/{flow}/fire", "Fire a flow for a profile")
async def fire_flow(asked: WriteRequestParam, flow: str, body: FlowFire) -> Response:
    """Uses the flow's own trigger: puts the profile on its list, or writes an event of its metric."""
    if body.list is not None and body.metric is not None:
        raise ApiError(409, "conflict", "name a list or a metric, not both")

    async def prepare() -> tuple[writes.PreparedWrite, list[str]]:
        questions = asked.context.account_queries
        client = await asked.context.instance.client(asked.connection)
        catalog = await questions.catalog(asked.connection, ("flows", "lists", "metrics", "segments"))
        prepared = await prepare_flow_trigger(
            asked.context.instance,
            asked.connection,
            flow,
            body.profile.identity(),
            token_actor(asked.token),
            await with_trigger_filters(client, catalog, [flow]),
            through_list=body.list,
            through_metric=body.metric,
            key=asked.key,
        )
        return prepared, [
            problem.message for problem in await list_membership_warnings(client, prepared.operations)
        ]

    return await _write_response(asked, prepare)


async def _write_step(
    asked: WriteRequest,
    step: Step,
    body: ProfileWrite | ListMember | EventWrite,
    *sections: str,
    data: dict[str, Any] | None = None,
) -> Response:
    """Writes one step. `sections` are the catalog sections in which the step's names are resolved."""

    async def prepare() -> tuple[writes.PreparedWrite, list[str]]:
        questions = asked.context.account_queries
        await asked.context.instance.client(asked.connection)
        catalog = await questions.catalog(asked.connection, sections) if sections else Catalog(0, "")
        prepared = await writes.prepare_write(
            asked.context.instance,
            asked.connection,
            step,
            body.profile.identity(),
            token_actor(asked.token),
            catalog,
            data=data,
            key=asked.key,
        )
        return prepared, []

    return await _write_response(asked, prepare)


async def _write_response(asked: WriteRequest, prepare: PrepareFunction) -> Response:
    """Plans, writes and responds; a response that is not complete is made anew for the next request with its key."""

    async def do() -> tuple[Response, bool]:
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            prepared, warnings = await _prepare_or_refuse(prepare)
        instance, actor = asked.context.instance, token_actor(asked.token)
        if asked.wait:
            written = await writes.write_and_wait(instance, prepared, actor, timeout_s=WRITE_TIMEOUT_S)
        else:
            written = await writes.queue_write(instance, prepared, actor)
        status = 200 if written.complete else 202
        content = _write_answer(written, warnings).model_dump_json()
        return Response(content, status, media_type="application/json"), written.complete

    return await respond_once(asked.request, asked.token, await asked.request.body(), do)


async def _prepare_or_refuse(prepare: PrepareFunction) -> tuple[writes.PreparedWrite, list[str]]:
    """Plans a write.

    Raises `ApiError`: 404 for names that the account lacks, 409 for names that can't be used in this step.
    """
    try:
        return await prepare()
    except InvalidWorkflow as invalid:
        if invalid.only_scopes or not all(problem.field in _NAMING_FIELDS for problem in invalid.problems):
            raise
        missing = any(problem.message.startswith("the account has no") for problem in invalid.problems)
        status, code = (404, "not_found") if missing else (409, "conflict")
        raise ApiError(status, code, str(invalid), problems=problem_rows(invalid)) from None


_NAMING_FIELDS = ("flow", "list", "metric", "add_to_list", "remove_from_list")
"""Fields of a step that name something in the account."""


def _write_answer(written: writes.WriteResult, warnings: Sequence[str]) -> WriteAnswer:
    receipts = [
        Receipt(
            step=entry.step or "",
            kind=entry.kind,
            status=entry.status,
            detail=(entry.response or {}).get("detail"),
            target=dict(entry.target) if entry.target is not None else None,
            ms=entry.ms,
            audit=entry.position,
            differences=[dict(each) for each in (entry.response or {}).get("differences") or ()],
        )
        for entry in written.entries
    ]
    return WriteAnswer(
        record=written.record,
        complete=written.complete,
        receipts=receipts,
        warnings=[*(problem.message for problem in written.warnings), *warnings],
    )


def _data_expression(part: str, key: str) -> Expression:
    """Makes the expression for a value of the record, with any characters in its name."""
    return parse_expression(f"data.{part}.{json.dumps(key)}")


def _optional_expression(data: dict[str, Any], key: str) -> Expression | None:
    return None if data[key] is None else parse_expression(f"data.{key}")
