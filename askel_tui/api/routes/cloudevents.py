"""CloudEvents 1.0 over HTTP, structured, batched or binary: each event becomes a record."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import Response

from askel_tui.api.routes.records import RECORD_SCHEMA, RecordsAnswer, records_response
from askel_tui.api.shared import body_reader
from askel_tui.api.shared.context import authorize, context_of, token_actor
from askel_tui.api.shared.errors import ApiError, error_responses
from askel_tui.api.shared.ingest import IncomingRecord, ingest, keep_unreadable, refuse_under_pressure
from askel_tui.core.records.record import MAX_ID_CHARACTERS, RecordRefused

router = APIRouter(tags=["Records in: CloudEvents"])

STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"
REQUIRED_ATTRIBUTES = ("id", "source", "type")
ATTRIBUTES_KEY = "cloudevent"
"""The key in a record's data under which the event's other attributes are kept (`source`, `subject`, extensions)."""


def record_from_event(event: Any) -> dict[str, Any]:
    """Makes a record of a CloudEvent: `type` is its event, `source` and `id` together are its id.

    Data that is no object is under `data.value`. Raises `RecordRefused`.
    """
    if not isinstance(event, dict):
        raise RecordRefused("not an object")
    if event.get("specversion") != "1.0":
        raise RecordRefused("`specversion` is not 1.0")
    for name in REQUIRED_ATTRIBUTES:
        if not isinstance(event.get(name), str) or not event[name]:
            raise RecordRefused(f"no `{name}`")
    data = event.get("data", {})
    if "data_base64" in event:
        data = {"data_base64": event["data_base64"]}
    if not isinstance(data, dict):
        data = {"value": data}
    record_fields = {"specversion", "id", "type", "time", "data", "data_base64"}
    attributes = {name: value for name, value in event.items() if name not in record_fields}
    record = {
        "id": _record_id(event["source"], event["id"]),
        "event": event["type"],
        "data": {ATTRIBUTES_KEY: attributes, **data},
    }
    if event.get("time") is not None:
        record["time"] = event["time"]
    return record


def _record_id(source: str, event_id: str) -> str:
    """Makes the id of a record: an event is identified by its source and id together, as the specification says."""
    joined = f"{source}#{event_id}"
    return (
        joined
        if len(joined) <= MAX_ID_CHARACTERS
        else hashlib.sha256(joined.encode("utf-8", "replace")).hexdigest()
    )


def read_binary_event(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Reads the event whose attributes are in `ce-` headers and whose data is the body. Raises `ApiError`."""
    event: dict[str, Any] = {
        name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")
    }
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media:
        event["datacontenttype"] = headers["content-type"]
    if not body:
        return event
    if media in ("", "application/json", "text/json") or media.endswith("+json"):
        return {**event, "data": body_reader.parse_json(body)}
    if media.startswith("text/"):
        return {**event, "data": body.decode("utf-8", "replace")}
    return {**event, "data_base64": base64.b64encode(body).decode()}


_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", *REQUIRED_ATTRIBUTES],
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
    response_model=RecordsAnswer,
    responses=error_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    summary="Send CloudEvents",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED_TYPE: {"schema": _EVENT_SCHEMA, "example": _EXAMPLE},
                BATCH_TYPE: {
                    "schema": {"type": "array", "items": _EVENT_SCHEMA, "minItems": 1},
                    "example": [_EXAMPLE],
                },
            },
        }
    },
)
async def receive_cloudevents(request: Request, name: str) -> Response:
    """Structured, batched, or binary (attributes in `ce-` headers). Answers as records do."""
    token = authorize(request, "send", name)
    context = context_of(request)
    refuse_under_pressure(context)
    async with body_reader.read_body(request) as body:
        async with keep_unreadable(context, name, "cloudevents", body):
            events = _read_events(request, body, body_reader.content_type(request))
            if not events:
                raise ApiError(422, "unprocessable", "the batch holds no event")
            if len(events) > body_reader.MAX_RECORDS_PER_BODY:
                most = body_reader.MAX_RECORDS_PER_BODY
                raise ApiError(413, "too_many", f"{len(events):,} events; {most:,} are the most")
        incoming = [_incoming_record(event) for event in events]
        return records_response(
            await ingest(
                context, name, incoming, "cloudevents", token_actor(token), originals=list(enumerate(events))
            )
        )


def _read_events(request: Request, body: bytes, media: str) -> list[Any]:
    if media == BATCH_TYPE:
        events = body_reader.parse_json(body)
        if not isinstance(events, list):
            raise ApiError(422, "unprocessable", "a batch is a list of events")
        return events
    if media == STRUCTURED_TYPE:
        return [body_reader.parse_json(body)]
    if "ce-specversion" in request.headers:
        return [read_binary_event(request.headers, body)]
    message = (
        f"a CloudEvent comes as {STRUCTURED_TYPE}, {BATCH_TYPE}, or with its attributes in `ce-` headers"
    )
    raise ApiError(415, "content_type", message)


def _incoming_record(event: Any) -> IncomingRecord:
    try:
        return record_from_event(event)
    except RecordRefused as refused:
        return refused
