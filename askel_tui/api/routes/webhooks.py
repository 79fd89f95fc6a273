"""Signed webhooks as records: a signature stands in for a token; an admin configures how it is checked and read."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from askel_tui.api.routes.records import RecordsAnswer, records_response
from askel_tui.api.shared import body_reader
from askel_tui.api.shared.context import ApiContext, authorize, context_of, token_actor
from askel_tui.api.shared.errors import ApiError, error_responses
from askel_tui.api.shared.ingest import IncomingRecord, ingest, keep_unreadable, refuse_under_pressure
from askel_tui.api.shared.webhook_settings import SETTING_PREFIX, WebhookSettings, secret_name
from askel_tui.api.shared.webhook_signatures import SignatureRefused, check_signature
from askel_tui.core.canonical import canonical_json
from askel_tui.core.expressions.expression import EvaluationProblem, parse_expression
from askel_tui.core.records.record import RecordRefused
from askel_tui.store.journal.rows import Decision

router = APIRouter(tags=["Records in: webhooks"])

WebhookName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["shop"])]


class WebhookSetup(WebhookSettings):
    """How a webhook is checked and read, with its secret, which is kept in the vault or keyring."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scheme": "hex",
                    "header": "X-Hub-Signature-256",
                    "prefix": "sha256=",
                    "secret": "a long random text",
                    "event": "order_paid",
                    "id_from": "data.order.id",
                }
            ]
        }
    )

    secret: Annotated[
        str, StringConstraints(min_length=16, max_length=512, pattern=r"^[!-~]+$"), Field(repr=False)
    ]


class Webhooks(BaseModel):
    """The webhooks of a connection, without their secrets."""

    model_config = ConfigDict(extra="forbid")

    webhooks: dict[str, WebhookSettings]


def record_from_body(settings: WebhookSettings, body: Any) -> dict[str, Any]:
    """Makes a record of a webhook's body. Raises `RecordRefused`."""
    if not isinstance(body, dict):
        raise RecordRefused("not an object")
    if settings.event is None and settings.event_from is None:
        return body
    record: dict[str, Any] = {"data": body, "event": settings.event}
    for name, text in (
        ("event", settings.event_from),
        ("id", settings.id_from),
        ("time", settings.time_from),
    ):
        if text is None:
            continue
        try:
            value = parse_expression(text).evaluate({"data": body})
        except EvaluationProblem as problem:
            raise RecordRefused(f"`{name}_from`: {problem}") from None
        if value is None and name == "id":
            raise RecordRefused(f"`id_from` ({text}) finds nothing")
        if value is not None:
            record[name] = value
    # A webhook that is delivered again has the same bytes, and so the same id.
    record.setdefault("id", hashlib.sha256(canonical_json(body)).hexdigest()[:32])
    return record


@router.post(
    "/v1/connections/{name}/webhooks/{hook}",
    status_code=202,
    response_model=RecordsAnswer,
    responses=error_responses(400, 401, 404, 408, 413, 422, 429, 503),
    summary="Deliver a signed webhook",
    openapi_extra={
        "security": [],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": {"order": {"id": "O-1"}}}
            },
        },
    },
)
async def receive(request: Request, name: str, hook: str) -> Response:
    """Verifies the signature over the bytes as they came, before they are parsed."""
    context = context_of(request)
    settings = context.webhook(name, hook)
    secret = await _webhook_secret(context, name, hook) if settings is not None else None
    if settings is None or secret is None:
        # The same as for a wrong signature, so that only a holder of a secret learns what exists.
        raise ApiError(401, "signature", "no such webhook, or a wrong signature")
    refuse_under_pressure(context)
    raw = await request.body()
    try:
        check_signature(settings, secret, request.headers, raw, context.instance.clock() / 1000)
    except SignatureRefused as unsigned:
        raise ApiError(401, "signature", str(unsigned)) from None
    async with body_reader.large_body_slot(context, len(raw)):
        record: IncomingRecord
        source = f"webhook:{hook}"
        async with keep_unreadable(context, name, source, raw):
            body = body_reader.parse_json(raw)
        try:
            record = {**record_from_body(settings, body), "actor": source}
        except RecordRefused as refused:
            record = refused
        return records_response(await ingest(context, name, [record], source, source, originals=[(0, raw)]))


async def _webhook_secret(context: ApiContext, connection: str, hook: str) -> str | None:
    key = secret_name(connection, hook)
    found = context.webhook_secrets.get(key)
    if found is None:
        found = await asyncio.to_thread(context.instance.secrets().get, key)
        if found is not None:
            context.webhook_secrets[key] = found
    return found


@router.get(
    "/v1/connections/{name}/webhooks",
    response_model=Webhooks,
    responses=error_responses(401, 403, 404, 429, 503),
    summary="The webhooks of a connection",
)
async def list_webhooks(request: Request, name: str) -> dict[str, Any]:
    """Needs the scope `admin`. Secrets are never shown."""
    authorize(request, "admin", name)
    return {"webhooks": context_of(request).webhooks(name)}


@router.put(
    "/v1/connections/{name}/webhooks/{hook}",
    response_model=WebhookSettings,
    responses=error_responses(400, 401, 403, 404, 408, 413, 422, 429, 503),
    summary="Set a webhook up",
)
async def set_webhook(request: Request, name: str, hook: WebhookName, setup: WebhookSetup) -> WebhookSettings:
    """Needs the scope `admin`. A webhook that exists is changed, its secret too."""
    token = authorize(request, "admin", name)
    context = context_of(request)
    settings = WebhookSettings(**setup.model_dump(exclude={"secret"}))
    key = secret_name(name, hook)
    await asyncio.to_thread(context.instance.secrets().set, key, setup.secret)
    context.webhook_secrets.pop(key, None)
    await asyncio.to_thread(
        context.instance.state.save_setting,
        f"{SETTING_PREFIX}{name}/{hook}",
        settings.model_dump(mode="json"),
    )
    decision = Decision(
        "webhook_set", token_actor(token), name, detail={"webhook": hook, **settings.model_dump()}
    )
    await context.instance.journal.write_decision(decision, context.instance.clock())
    return settings


@router.delete(
    "/v1/connections/{name}/webhooks/{hook}",
    status_code=204,
    responses=error_responses(401, 403, 404, 422, 429, 503),
    summary="Delete a webhook",
)
async def delete_webhook(request: Request, name: str, hook: WebhookName) -> None:
    """Needs the scope `admin`. Its secret is deleted with it."""
    token = authorize(request, "admin", name)
    context = context_of(request)
    if context.webhook(name, hook) is None:
        raise ApiError(404, "not_found", f"{name} has no webhook called {hook}")
    key = secret_name(name, hook)
    await asyncio.to_thread(context.instance.state.save_setting, f"{SETTING_PREFIX}{name}/{hook}", None)
    await asyncio.to_thread(context.instance.secrets().delete, key)
    context.webhook_secrets.pop(key, None)
    decision = Decision("webhook_removed", token_actor(token), name, detail={"webhook": hook})
    await context.instance.journal.write_decision(decision, context.instance.clock())
