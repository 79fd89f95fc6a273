"""CloudEvents 1.0 over HTTP: structured, batched and binary; each event is a record."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import Response

from askel_tui.api.routes.records import RECORD_SCHEMA, RecordsTaken, answered
from askel_tui.api.shared import body_reader
from askel_tui.api.shared.context import allowed, context_of
from askel_tui.api.shared.errors import ApiError, documented
from askel_tui.api.shared.ingest import Given, take, under_pressure
from askel_tui.core.records.record import MAX_ID, RecordRefused

router = APIRouter(tags=["Records in: CloudEvents"])

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
REQUIRED = ("id", "source", "type")
ABOUT = "cloudevent"
"""Where a record's data tells the event's other attributes (`source`, `subject`, extensions)."""


def record_of(event: Any) -> dict[str, Any]:
    """The record of a CloudEvent: `type` is its event, `source` and `id` together are its id.

    Data that is no object is under `data.value`. Raises `RecordRefused`.
    """
    if not isinstance(event, dict):
        raise RecordRefused("not an object")
    if event.get("specversion") != "1.0":
        raise RecordRefused("`specversion` is not 1.0")
    for name in REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise RecordRefused(f"no `{name}`")
    data = event.get("data", {})
    if "data_base64" in event:
        data = {"data_base64": event["data_base64"]}
    if not isinstance(data, dict):
        data = {"value": data}
    taken = {"specversion", "id", "type", "time", "data", "data_base64"}
    about = {name: value for name, value in event.items() if name not in taken}
    record = {"id": _id(event["source"], event["id"]), "event": event["type"], "data": {ABOUT: about, **data}}
    if event.get("time") is not None:
        record["time"] = event["time"]
    return record


def _id(source: str, event_id: str) -> str:
    """Events are told apart by source and id together, as the specification has it."""
    joined = f"{source}#{event_id}"
    return joined if len(joined) <= MAX_ID else hashlib.sha256(joined.encode("utf-8", "replace")).hexdigest()


def of_binary(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The event whose attributes are in `ce-` headers and whose data is the body. Raises `ApiError`."""
    event: dict[str, Any] = {
        name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")
    }
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media:
        event["datacontenttype"] = headers["content-type"]
    if not body:
        return event
    if media in ("", "application/json", "text/json") or media.endswith("+json"):
        return {**event, "data": body_reader.parsed(body)}
    if media.startswith("text/"):
        return {**event, "data": body.decode("utf-8", "replace")}
    return {**event, "data_base64": base64.b64encode(body).decode()}


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", *REQUIRED],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": RECORD_SCHEMA["properties"]["event"],
        "time": RECORD_SCHEMA["properties"]["time"],
        "data": {},
    },
}
_EXAMPLE = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/rewards",
    "type": "first_points_earned",
    "time": "2026-11-23T09:14:05Z",
    "data": {"points": 120, "shopper": {"email": "ada@mapleandember.example"}},
}


@router.post(
    "/v1/connections/{name}/cloudevents",
    status_code=202,
    response_model=RecordsTaken,
    responses=documented(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    summary="Give CloudEvents",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": _EVENT, "example": _EXAMPLE},
                BATCHED: {"schema": {"type": "array", "items": _EVENT, "minItems": 1}, "example": [_EXAMPLE]},
            },
        }
    },
)
async def give_cloudevents(request: Request, name: str) -> Response:
    """Structured, batched, or binary (attributes in `ce-` headers). Answers as records do."""
    allowed(request, "send", name)
    context = context_of(request)
    under_pressure(context)
    async with body_reader.unpacked(request, context.heavy) as body:
        events = _events(request, body, body_reader.content_type(request))
        if not events:
            raise ApiError(422, "unprocessable", "the batch holds no event")
        if len(events) > body_reader.MAX_RECORDS:
            raise ApiError(
                413, "too_many", f"{len(events):,} events; {body_reader.MAX_RECORDS:,} are the most"
            )
        return answered(await take(context, name, [_given(event) for event in events]))


def _events(request: Request, body: bytes, media: str) -> list[Any]:
    if media == BATCHED:
        events = body_reader.parsed(body)
        if not isinstance(events, list):
            raise ApiError(422, "unprocessable", "a batch is a list of events")
        return events
    if media == STRUCTURED:
        return [body_reader.parsed(body)]
    if "ce-specversion" in request.headers:
        return [of_binary(request.headers, body)]
    told = f"a CloudEvent comes as {STRUCTURED}, {BATCHED}, or with its attributes in `ce-` headers"
    raise ApiError(415, "content_type", told)


def _given(event: Any) -> Given:
    try:
        return record_of(event)
    except RecordRefused as refused:
        return refused
