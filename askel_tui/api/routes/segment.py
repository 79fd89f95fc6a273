"""Segment's HTTP tracking API, for its clients: the write key is a token of one connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import itemgetter
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from askel_tui.api.routes.records import RECORD_SCHEMA
from askel_tui.api.shared import body_reader
from askel_tui.api.shared.context import ApiContext, authorize, context_of, token_actor, unknown_token
from askel_tui.api.shared.errors import ApiError, Fault, FaultAnswer, error_responses
from askel_tui.api.shared.ingest import IncomingRecord, ingest, keep_unreadable, refuse_under_pressure
from askel_tui.core.records.record import RecordRefused

router = APIRouter(tags=["Records in: Segment's tracking API"])

RECORD_TYPES = ("track", "identify")
IGNORED_TYPES = ("group", "page", "screen", "alias")
_ENVELOPE_FIELDS = frozenset(
    {
        "type",
        "event",
        "messageId",
        "timestamp",
        "sentAt",
        "originalTimestamp",
        "receivedAt",
        "writeKey",
        "channel",
    }
)
"""The message fields that are left out of a record's data: they become fields of the record, or are about the
delivery."""


class MessageResult(BaseModel):
    """What became of one message; `index` counts the messages of the request from 0."""

    model_config = ConfigDict(extra="forbid")

    index: int
    id: str | None = None
    fate: Literal["new", "same", "other_body", "refused", "ignored"]
    reason: str | None = None
    notes: list[str] | None = None


class SegmentAnswer(BaseModel):
    """`messages` says what became of each; Segment's clients read the status alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "accepted": 1,
                    "same": 0,
                    "refused": [],
                    "ignored": 1,
                    "why": "group is not used here",
                    "messages": [
                        {"index": 0, "id": "msg-1", "fate": "new"},
                        {"index": 1, "fate": "ignored"},
                    ],
                }
            ]
        },
    )

    success: bool
    accepted: int = 0
    same: int = 0
    refused: list[dict[str, Any]] = []
    ignored: int = 0
    why: str | None = None
    messages: list[MessageResult] | None = None
    """Of a batch only."""


class SegmentRefusal(SegmentAnswer):
    """Some messages are none that can be taken. The others were taken, and are the same when they come again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={})

    code: str
    message: str
    error: Fault


def record_from_message(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Makes a record of a message: a track's event keeps its name, an identify becomes the event `identify`.

    `data` is the message as Segment has it: `userId`, `properties`, `traits`, `context`.
    """
    event = message.get("event") if kind == "track" else "identify"
    record = {
        "event": event,
        "data": {name: value for name, value in message.items() if name not in _ENVELOPE_FIELDS},
    }
    for name, sources in (("id", ("messageId",)), ("time", ("timestamp", "originalTimestamp"))):
        value = next((message[source] for source in sources if message.get(source) is not None), None)
        if value is not None:
            record[name] = value
    return record


def sort_messages(
    messages: Sequence[Any], kind: str | None
) -> tuple[list[IncomingRecord], list[int], list[str]]:
    """Separates messages into (records to ingest, their indexes, types that are not used).

    `kind` is the endpoint's type, None for batches.
    """
    records: list[IncomingRecord] = []
    indexes: list[int] = []
    ignored: list[str] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            records.append(RecordRefused("not an object"))
            indexes.append(index)
            continue
        type_ = kind or message.get("type")
        if type_ in IGNORED_TYPES:
            ignored.append(str(type_))
            continue
        if isinstance(type_, str) and type_ in RECORD_TYPES:
            records.append(record_from_message(message, type_))
        else:
            records.append(RecordRefused(f"`type` is none of {', '.join((*RECORD_TYPES, *IGNORED_TYPES))}"))
        indexes.append(index)
    return records, indexes, ignored


_MESSAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A message as Segment's specification has it.",
    "properties": {
        "event": RECORD_SCHEMA["properties"]["event"],
        "messageId": RECORD_SCHEMA["properties"]["id"],
        "timestamp": RECORD_SCHEMA["properties"]["time"],
    },
}
_IGNORED_SCHEMA = {"type": "object"}
_IDENTIFY_SCHEMA = {
    **_MESSAGE_SCHEMA,
    "properties": {name: each for name, each in _MESSAGE_SCHEMA["properties"].items() if name != "event"},
}
_BATCHED_SCHEMA = {
    **_MESSAGE_SCHEMA,
    "required": ["type", "event"],
    "properties": {**_MESSAGE_SCHEMA["properties"], "type": {"enum": [*RECORD_TYPES, *IGNORED_TYPES]}},
}
_EXAMPLE = {
    "type": "track",
    "event": "first_points_earned",
    "userId": "S-1",
    "messageId": "msg-1",
    "timestamp": "2026-11-23T09:14:05Z",
    "properties": {"points": 120, "email": "ada@mapleandember.example"},
}
_BATCH_SCHEMA = {
    "type": "object",
    "required": ["batch"],
    "properties": {"batch": {"type": "array", "items": _BATCHED_SCHEMA, "minItems": 1}},
}
_BATCH_REFUSED = (
    "Messages that can't be taken, or a body that can't be read. No client of Segment's sends a 400 again, and each "
    "tells its program; a 2xx would lose the messages silently, and some clients send after a 422 for ever."
)
_ERROR_STATUSES = (400, 401, 403, 404, 408, 413, 415, 422, 429, 503)


def _body_schema(schema: Mapping[str, Any], example: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/v1/batch",
    response_model=SegmentAnswer,
    response_model_exclude_none=True,
    responses={
        **error_responses(*_ERROR_STATUSES),
        400: {"model": SegmentRefusal | FaultAnswer, "description": _BATCH_REFUSED},
    },
    summary="Segment: a batch of messages",
    openapi_extra=_body_schema(_BATCH_SCHEMA, {"batch": [_EXAMPLE]}),
)
@router.post(
    "/v1/import", include_in_schema=False, response_model=SegmentAnswer, response_model_exclude_none=True
)
async def batch(request: Request) -> Any:
    """`track` and `identify` messages become records; messages of other types are only counted.

    Each message has its fate. Where some are refused the answer is 400: the others were taken all the same.
    """
    async with body_reader.read_body(request) as raw:
        async with _keep_unreadable(request, raw):
            body = _read_object(request, raw)
            messages = body.get("batch")
            if not isinstance(messages, list) or not messages:
                raise ApiError(422, "unprocessable", "`batch` is no list of messages")
            if len(messages) > body_reader.MAX_RECORDS_PER_BODY:
                message = f"{len(messages):,} messages; {body_reader.MAX_RECORDS_PER_BODY:,} are the most"
                raise ApiError(413, "too_many", message)
        shared = body.get("context")
        if isinstance(shared, dict):
            messages = [_with_context(message, shared) for message in messages]
        answer = await _accept_messages(request, body, messages, None)
        if not answer["refused"]:
            return answer
        # `code` and `message` at the top are what Segment's clients show.
        fault = _refusal(answer, len(messages))
        error = {"code": fault.code, "message": fault.detail, "request": request.scope["askel.request"]}
        whole = {**answer, "code": fault.code, "message": fault.detail, "success": False}
        content = {**whole, "error": {**error, "problems": list(fault.problems)}}
        return Response(json.dumps(content, separators=(",", ":")), 400, media_type="application/json")


def _refusal(answer: Mapping[str, Any], count: int) -> ApiError:
    """Makes the error of refused messages."""
    refused = answer["refused"]
    problems = [{"index": row["index"], "message": row["reason"]} for row in refused]
    first = problems[0]["message"]
    if count == 1:
        return ApiError(422, "unprocessable", str(first), problems=problems)
    taken = answer["accepted"] + answer["same"]
    message = f"{len(refused):,} of {count:,} messages can't be taken ({taken:,} were); the first: {first}"
    return ApiError(422, "unprocessable", message, problems=problems)


def _add_route(kind: str, schema: Mapping[str, Any], word: str) -> None:
    @router.post(
        f"/v1/{kind}",
        name=f"segment_{kind}",
        response_model=SegmentAnswer,
        response_model_exclude_none=True,
        responses=error_responses(*_ERROR_STATUSES),
        summary=f"Segment: {kind}",
        description=word,
        openapi_extra=_body_schema(schema, {**_EXAMPLE, "type": kind}),
    )
    async def receive_message(request: Request) -> dict[str, Any]:
        async with body_reader.read_body(request) as raw:
            async with _keep_unreadable(request, raw):
                body = _read_object(request, raw)
            answer = await _accept_messages(request, body, [body], kind)
            if answer["refused"]:
                raise _refusal(answer, 1)
            del answer["messages"]
            return answer


_add_route(
    "track",
    {**_MESSAGE_SCHEMA, "required": ["event"]},
    "Becomes a record whose event has the name of the track call.",
)
_add_route(
    "identify",
    _IDENTIFY_SCHEMA,
    "Becomes a record with the event `identify`; `data.traits` holds the traits.",
)
for _kind in IGNORED_TYPES:
    _add_route(_kind, _IGNORED_SCHEMA, "Answered, and not used: Askel takes `track` and `identify`.")


def _with_context(message: Any, shared: Mapping[str, Any]) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("context", {}), dict):
        return message
    return {**message, "context": {**shared, **message.get("context", {})}}


def _read_object(request: Request, raw: bytes) -> dict[str, Any]:
    media = body_reader.content_type(request)
    # Browsers' beacons and old clients send JSON as text.
    if media not in ("", "text/plain", *body_reader.JSON_TYPES):
        raise ApiError(415, "content_type", f"messages come as application/json, not as {media[:80]}")
    body = body_reader.parse_json(raw)
    if not isinstance(body, dict):
        raise ApiError(422, "unprocessable", "the body is not an object")
    return body


async def _accept_messages(
    request: Request, body: Mapping[str, Any], messages: Sequence[Any], kind: str | None
) -> dict[str, Any]:
    context = context_of(request)
    if request.scope.get("askel.token") is None:
        key = body.get("writeKey")
        token = context.token(key) if isinstance(key, str) else None
        if token is None:
            raise unknown_token()
        context.check_rate(token)
        request.scope["askel.token"] = token
    token = authorize(request, "send")
    connection = _bound_connection(context, token.connections)
    authorize(request, "send", connection)
    refuse_under_pressure(context)
    records, indexes, ignored = sort_messages(messages, kind)
    for record in records:
        if isinstance(record, dict):
            record["actor"] = token_actor(token)
    originals = [(index, _without_key(messages[index])) for index in indexes]
    result = await ingest(context, connection, records, "segment", token_actor(token), originals=originals)
    rows = [{**row, "index": indexes[row["index"]]} for row in result.rows]
    refused = [{"index": row["index"], "reason": row["reason"]} for row in rows if row["fate"] == "refused"]
    rows += [{"index": index, "fate": "ignored"} for index in set(range(len(messages))) - set(indexes)]
    answer = {
        "success": True,
        "accepted": result.accepted,
        "same": result.same,
        "refused": refused,
        "ignored": len(ignored),
        "messages": sorted(rows, key=itemgetter("index")),
    }
    if ignored:
        reason = f"{', '.join(sorted(set(ignored)))} is not used here: Askel takes track and identify"
        return {**answer, "why": reason}
    return answer


def _without_key(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if name != "writeKey"}


@asynccontextmanager
async def _keep_unreadable(request: Request, raw: bytes) -> AsyncIterator[None]:
    """Keeps a body aside that holds no messages, where its token came in the header and says for which connection."""
    token = request.scope.get("askel.token")
    if token is None or not token.has_scope("send"):
        yield
        return
    context = context_of(request)
    async with keep_unreadable(context, _bound_connection(context, token.connections), "segment", raw):
        yield


def _bound_connection(context: ApiContext, bound: Sequence[str]) -> str:
    """Returns the connection of a write key: its token's only one, or the only one there is. Raises `ApiError`."""
    names = sorted(bound or context.connections())
    if len(names) != 1:
        message = (
            "a write key must be a token of one connection: `askel token create NAME --connection CONNECTION`"
        )
        raise ApiError(403, "connection", message)
    return names[0]
