"""Records from the product: one object, a list, or one a line; durable before the response, with a result each."""

from __future__ import annotations

import json
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from askel_tui.api.shared import body_reader
from askel_tui.api.shared.context import authorize, context_of, token_actor
from askel_tui.api.shared.errors import ApiError, error_responses
from askel_tui.api.shared.idempotency import KEY_PARAMETER, idempotency_key, respond_once
from askel_tui.api.shared.ingest import IngestResult, ingest, keep_unreadable, refuse_under_pressure

router = APIRouter(tags=["Records in"])

RECORDS_ROUTE = "/v1/connections/{name}/records"

RECORD_EXAMPLE: dict[str, Any] = {
    "id": "evt-000001",
    "event": "first_points_earned",
    "time": "2026-11-23T09:14:05Z",
    "data": {"points": 120, "shopper": {"id": "S-1", "email": "ada@mapleandember.example", "tier": "gold"}},
    "actor": "rewards-service",
}


class RecordResult(BaseModel):
    """What became of one record; `index` counts the records of the request from 0."""

    model_config = ConfigDict(extra="forbid")

    index: int
    id: str | None = None
    fate: Literal["new", "same", "other_body", "refused"]
    reason: str | None = None
    notes: list[str] = []


class RecordsAnswer(BaseModel):
    """A result for each record. The fate `other_body`: the id is known with another body, and the first one holds."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "accepted": 1,
                    "same": 0,
                    "refused": 1,
                    "records": [
                        {"index": 0, "id": "evt-000001", "fate": "new"},
                        {"index": 1, "fate": "refused", "reason": "no `event`"},
                    ],
                }
            ]
        },
    )

    accepted: int
    same: int
    refused: int
    records: list[RecordResult]


def records_response(result: IngestResult) -> Response:
    """Makes the response: 202 with a result for each record; 422 where every one was refused."""
    if result.refused == len(result.rows):
        reasons = [{"index": row["index"], "message": row["reason"]} for row in result.rows]
        first = reasons[0]["message"]
        message = (
            first
            if len(reasons) == 1
            else f"none of the {len(reasons):,} records can be taken; the first: {first}"
        )
        raise ApiError(422, "unprocessable", message, problems=reasons)
    return Response(json.dumps(result.body(), separators=(",", ":")), 202, media_type="application/json")


RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["event"],
    "description": "Other fields are left out, and the answer says so.",
    "properties": {
        "id": {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 255},
                {"type": "integer"},
                {"type": "null"},
            ]
        },
        "event": {"type": "string", "minLength": 1, "pattern": "[^\\x00]"},
        "time": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "data": {"type": ["object", "null"]},
        "actor": {"description": "A text; anything else is left out."},
    },
}
_LIST_SCHEMA = {"type": "array", "items": RECORD_SCHEMA, "minItems": 1}
_NDJSON_EXAMPLE = (
    "\n".join(json.dumps({**RECORD_EXAMPLE, "id": f"evt-00000{number}"}) for number in (1, 2)) + "\n"
)


@router.post(
    RECORDS_ROUTE,
    status_code=202,
    response_model=RecordsAnswer,
    responses=error_responses(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
    summary="Send records",
    openapi_extra={
        "parameters": [KEY_PARAMETER],
        "requestBody": {
            "required": True,
            "description": "One record, a list of them, or one a line (NDJSON); may be packed with gzip "
            "(`Content-Encoding: gzip`). At most 5 MB unpacked and 10,000 records.",
            "content": {
                "application/json": {
                    "schema": {"anyOf": [RECORD_SCHEMA, _LIST_SCHEMA]},
                    "example": RECORD_EXAMPLE,
                },
                "application/x-ndjson": {"schema": _LIST_SCHEMA, "example": _NDJSON_EXAMPLE},
            },
        },
    },
)
async def receive_records(request: Request, name: str) -> Response:
    """Answers 202 once every record that is `new` is on the disk. The same id again is the same record.

    A record that can't be taken is named by its index and the reason, and harms no other. Without `id` and `time`
    each record is a new one, unless an Idempotency-Key says that the request is one that was sent before.
    """
    token = authorize(request, "send", name)
    context = context_of(request)
    refuse_under_pressure(context)
    key = idempotency_key(request, token)
    async with body_reader.read_body(request) as body:

        async def respond() -> tuple[Response, bool]:
            async with keep_unreadable(context, name, "records", body):
                values = body_reader.split_records(body, body_reader.content_type(request))
            return records_response(
                await ingest(context, name, values, "records", token_actor(token), key=key)
            ), True

        return await respond_once(request, token, body, respond)
