"""Answers out: questions to the account, and direct writes through the same plan, budget and audit as workflows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response

from askel_tui.api.context import Context, actor_of, allowed, context_of
from askel_tui.api.errors import ApiError, documented, problem_rows
from askel_tui.api.models import (
    Email,
    EventWrite,
    FlowFire,
    ListMember,
    MemberAnswer,
    Name,
    Phone,
    ProfileAnswer,
    ProfileWrite,
    WriteAnswer,
)
from askel_tui.api.records import idempotency_key
from askel_tui.api.taking import under_pressure
from askel_tui.core.catalogs import Catalog
from askel_tui.core.expressions import Expression, parse
from askel_tui.core.operations import Identity
from askel_tui.core.workflows import AddToList, Field, RemoveFromList, Step, TrackEvent, UpsertProfile
from askel_tui.store.tokens import TokenDoc
from askel_tui.sync import writes
from askel_tui.sync.direct import on_list, prepare_fire
from askel_tui.sync.discovery import with_filters
from askel_tui.sync.workflows import Unfit

T = TypeVar("T")

ASK_S = 10.0
"""How long a question may wait for the budget and the answer."""

WRITE_S = 20.0
"""How long a synchronous write waits for its receipts; what has none by then goes on by itself."""

_READ = documented(401, 403, 404, 422, 429, 502, 503)
_WRITE = documented(400, 401, 403, 404, 408, 409, 413, 422, 429, 502, 503)
_WRITTEN: dict[int | str, dict[str, Any]] = {
    **_WRITE,
    202: {"model": WriteAnswer, "description": "Kept, and not yet answered by Klaviyo."},
}
_KEY = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "The write is done once, however often it is asked for with this key.",
        }
    ]
}

Wait = Annotated[
    bool, Query(description="Wait for Klaviyo's answer; false: the write is kept and done soon.")
]
ByEmail = Annotated[Email | None, Query()]
ByPhone = Annotated[Phone | None, Query(description="E.164: + and digits.")]
ById = Annotated[Name | None, Query(description="Klaviyo's id of the profile.")]
ByExternal = Annotated[Name | None, Query(description="Your own id of the profile.")]

router = APIRouter()


@router.get(
    "/v1/connections/{name}/segments/{segment}/members",
    tags=["Questions"],
    response_model=MemberAnswer,
    responses=documented(400, 401, 403, 404, 422, 429, 502, 503),
    summary="Is this profile in the segment?",
)
async def member(
    request: Request,
    name: str,
    segment: str,
    email: ByEmail = None,
    phone: ByPhone = None,
    external_id: ByExternal = None,
    id: ById = None,  # noqa: A002 - the parameter's name is the interface
    fresh: Annotated[bool, Query(description="Ask Klaviyo, whatever is remembered.")] = False,
) -> dict[str, Any]:
    """Asked with one call to Klaviyo and remembered for 15 s; `age_s` says how old the answer is.

    The segment is named by its name or id, the profile by exactly one of the parameters.
    """
    allowed(request, "read", name)
    who = _who(email, phone, external_id, id)
    found = await _asked(context_of(request).questions.member(name, segment, who, fresh=fresh))
    return {
        "connection": name,
        "segment": {"id": found.segment_id, "name": found.segment_name},
        "profile": {"id": who} if isinstance(who, str) else who.identifiers(),
        "member": found.member,
        "age_s": round(found.age_s, 3),
    }


@router.get(
    "/v1/connections/{name}/profiles",
    tags=["Questions"],
    response_model=ProfileAnswer,
    response_model_exclude_none=True,
    responses=documented(400, 401, 403, 404, 422, 429, 502, 503),
    summary="What does the account hold of this profile?",
)
async def profile(
    request: Request,
    name: str,
    email: ByEmail = None,
    phone: ByPhone = None,
    external_id: ByExternal = None,
    id: ById = None,  # noqa: A002 - the parameter's name is the interface
    consent: Annotated[bool, Query(description="Also consent by channel.")] = False,
) -> dict[str, Any]:
    """Asked now, named by exactly one of the parameters."""
    allowed(request, "read", name)
    who = _who(email, phone, external_id, id)
    found = await _asked(context_of(request).questions.profile(name, who, consent=consent))
    if found is None:
        raise ApiError(404, "not_found", "the account has no such profile")
    return found


def _who(
    email: str | None, phone: str | None, external: str | None, profile_id: str | None
) -> Identity | str:
    """Raises `ApiError` unless exactly one is given."""
    if sum(value is not None for value in (email, phone, external, profile_id)) != 1:
        raise ApiError(400, "bad_request", "name the profile by one of email, phone, external_id, id")
    return profile_id if profile_id is not None else Identity(email, phone, external)


async def _asked(question: Awaitable[T]) -> T:
    async with asyncio.timeout(ASK_S):
        return await question


@router.post(
    "/v1/connections/{name}/profiles",
    tags=["Direct writes"],
    response_model=WriteAnswer,
    responses=_WRITTEN,
    summary="Write a profile",
    openapi_extra=_KEY,
)
async def write_profile(
    request: Request, response: Response, name: str, body: ProfileWrite, wait: Wait = True
) -> dict[str, Any]:
    """Makes the profile where there is none."""
    flat = body.attributes.flat()
    step = UpsertProfile(
        "profile",
        {key: Field(_at("attributes", key), clear=value is None) for key, value in flat.items()},
        {key: Field(_at("properties", key), clear=value is None) for key, value in body.properties.items()},
    )
    data = {"attributes": flat, "properties": body.properties}
    return await _step(request, response, name, step, body.profile.identity(), (), wait, data)


@router.post(
    "/v1/connections/{name}/lists/{list}/members",
    tags=["Direct writes"],
    response_model=WriteAnswer,
    responses=_WRITTEN,
    summary="Put a profile on a list",
    openapi_extra=_KEY,
)
async def add_member(
    request: Request,
    response: Response,
    name: str,
    list: str,  # noqa: A002 - the parameter's name is the interface
    body: ListMember,
    wait: Wait = True,
) -> dict[str, Any]:
    """Gives no consent. Makes the profile where there is none."""
    step = AddToList("add", list)
    return await _step(request, response, name, step, body.profile.identity(), ("lists",), wait)


@router.delete(
    "/v1/connections/{name}/lists/{list}/members",
    tags=["Direct writes"],
    response_model=WriteAnswer,
    responses=_WRITTEN,
    summary="Take a profile off a list",
    openapi_extra=_KEY,
)
async def remove_member(
    request: Request,
    response: Response,
    name: str,
    list: str,  # noqa: A002 - the parameter's name is the interface
    body: ListMember,
    wait: Wait = True,
) -> dict[str, Any]:
    """Takes no consent away. Never makes a profile."""
    step = RemoveFromList("remove", list)
    return await _step(request, response, name, step, body.profile.identity(), ("lists",), wait)


@router.post(
    "/v1/connections/{name}/events",
    tags=["Direct writes"],
    response_model=WriteAnswer,
    responses=_WRITTEN,
    summary="Write an event",
    openapi_extra=_KEY,
)
async def write_event(
    request: Request, response: Response, name: str, body: EventWrite, wait: Wait = True
) -> dict[str, Any]:
    """Its `unique_id` comes from the Idempotency-Key, so an event that is sent again is one event."""
    data = body.model_dump(include={"properties", "value", "value_currency", "time"})
    step = TrackEvent(
        "event",
        body.metric,
        value=_given(data, "value"),
        value_currency=_given(data, "value_currency"),
        properties={key: _at("properties", key) for key in body.properties},
        time=_given(data, "time"),
    )
    return await _step(request, response, name, step, body.profile.identity(), ("metrics",), wait, data)


@router.post(
    "/v1/connections/{name}/flows/{flow}/fire",
    tags=["Direct writes"],
    response_model=WriteAnswer,
    responses=_WRITTEN,
    summary="Fire a flow for a profile",
    openapi_extra=_KEY,
)
async def fire_flow(
    request: Request, response: Response, name: str, flow: str, body: FlowFire, wait: Wait = True
) -> dict[str, Any]:
    """Through what triggers the flow: a list that the profile is put on, or an event of its metric."""
    token, context = _writer(request, name)
    if body.list is not None and body.metric is not None:
        raise ApiError(409, "conflict", "name a list or a metric, not both")
    async with asyncio.timeout(ASK_S):
        client = await context.questions.client(name)
        catalog = await context.questions.catalog(name, ("flows", "lists", "metrics", "segments"))
        catalog = await with_filters(client, catalog, [flow])
        prepared = await _prepared(
            prepare_fire(
                context.instance,
                name,
                flow,
                body.profile.identity(),
                actor_of(token),
                catalog,
                through_list=body.list,
                through_metric=body.metric,
                key=_key(request, token),
            )
        )
        told = [problem.message for problem in await on_list(client, prepared.operations)]
    return await _done(context, response, prepared, actor_of(token), wait, told)


async def _step(
    request: Request,
    response: Response,
    name: str,
    step: Step,
    identity: Identity,
    sections: tuple[str, ...],
    wait: bool,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    token, context = _writer(request, name)
    async with asyncio.timeout(ASK_S):
        await context.questions.client(name)
        catalog = await context.questions.catalog(name, sections) if sections else Catalog(0, "")
        prepared = await _prepared(
            writes.prepare(
                context.instance,
                name,
                step,
                identity,
                actor_of(token),
                catalog,
                data=data,
                key=_key(request, token),
            )
        )
    return await _done(context, response, prepared, actor_of(token), wait, [])


async def _prepared(preparing: Awaitable[writes.Prepared]) -> writes.Prepared:
    """Raises `ApiError`: 404 for what the account has not, 409 for what it has and can't be used so."""
    try:
        return await preparing
    except Unfit as unfit:
        if unfit.only_scopes or not all(problem.field in _NAMING for problem in unfit.problems):
            raise
        missing = any(problem.message.startswith("the account has no") for problem in unfit.problems)
        status, code = (404, "not_found") if missing else (409, "conflict")
        raise ApiError(status, code, str(unfit), problems=problem_rows(unfit)) from None


_NAMING = ("flow", "list", "metric", "add_to_list", "remove_from_list")
"""Fields of a step that name something in the account."""


def _writer(request: Request, name: str) -> tuple[TokenDoc, Context]:
    token = allowed(request, "send", name)
    context = context_of(request)
    under_pressure(context)
    return token, context


def _key(request: Request, token: TokenDoc) -> str | None:
    key = idempotency_key(request)
    return None if key is None else f"{token.name}\0{key}"


async def _done(
    context: Context,
    response: Response,
    prepared: writes.Prepared,
    actor: str,
    wait: bool,
    told: list[str],
) -> dict[str, Any]:
    if wait:
        written = await writes.write(context.instance, prepared, actor, patience=WRITE_S)
    else:
        written = await writes.queue(context.instance, prepared, actor)
    response.status_code = 200 if written.complete else 202
    return {
        "record": written.record,
        "complete": written.complete,
        "receipts": [
            {
                "step": entry.step,
                "kind": entry.kind,
                "status": entry.status,
                "detail": (entry.response or {}).get("detail"),
                "target": entry.target,
                "ms": entry.ms,
                "audit": entry.seq,
            }
            for entry in written.entries
        ],
        "warnings": [*(problem.message for problem in written.warnings), *told],
    }


def _at(part: str, key: str) -> Expression:
    """Where a value is in the record, whatever its name holds."""
    return parse(f"data.{part}.{json.dumps(key)}")


def _given(data: dict[str, Any], key: str) -> Expression | None:
    return None if data[key] is None else parse(f"data.{key}")
