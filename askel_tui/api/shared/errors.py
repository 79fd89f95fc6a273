"""Error responses of the HTTP API: one shape, with a code for programs and a sentence for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from askel_tui.core.exit_codes import AskelError
from askel_tui.core.problems import Problem
from askel_tui.core.records.record import RecordRefused
from askel_tui.klaviyo.errors import (
    Conflict,
    InvalidRequest,
    KeyRefused,
    KlaviyoError,
    NotInAccount,
    ScopeMissing,
    TooLarge,
)
from askel_tui.services.direct.requests import NotFound
from askel_tui.services.direct.writes import IdempotencyKeyReused
from askel_tui.services.history.opted_out import PeopleLifted
from askel_tui.services.history.past_records import PastRecords
from askel_tui.services.json_documents import to_json
from askel_tui.services.replanning import UnsentOperations
from askel_tui.services.workflows import InvalidWorkflow
from askel_tui.store.errors import StoreError, UnknownConnection, UnknownStep, UnknownWorkflow
from askel_tui.sync.engine.command_bus import CommandUnanswered
from askel_tui.sync.engine.commands import CommandRefused
from askel_tui.sync.instance import KeyNotStored

RETRY_AFTER_S = 5
"""`Retry-After` where nothing better is known."""


class Fault(BaseModel):
    """An error. `problems` names the fields, records or steps, where there are several."""

    model_config = ConfigDict(extra="forbid")

    code: str
    message: str
    request: str
    """The request's id, as in the log."""
    problems: list[dict[str, Any]] = []
    preview: dict[str, Any] | None = None
    """What would be done, where the answer is a question (`unsent`, `flows`, `opt_outs`)."""


class FaultAnswer(BaseModel):
    """The body of every answer over 399."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "not_found",
                        "message": "no connection is called 'maple'. Did you mean 'maple-ember'?",
                        "request": "3f2a9c0d1e4b5a69",
                        "problems": [],
                    }
                }
            ]
        },
    )

    error: Fault


class ApiError(HTTPException):
    """A request that is refused; `code` is for programs, `detail` is the sentence for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        problems: Sequence[Mapping[str, Any]] = (),
        preview: Mapping[str, Any] | None = None,
    ) -> None:
        sent = dict(headers or {})
        if retry_after is not None:
            sent["Retry-After"] = str(retry_after)
        super().__init__(status, message, sent)
        self.code = code
        self.problems = problems
        self.preview = preview


class BodyRefused(ApiError):
    """A body that is refused while it arrives: the middleware responds, and drops the rest of the body."""


_CODE_BY_STATUS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 422: "unprocessable"}
_MESSAGE_BY_STATUS = {
    400: "the body is not JSON that can be read: not UTF-8, or too deep",
    404: "there is nothing at this address: /docs and /openapi.json show what there is",
    405: "this address does not take this method: the Allow header names those that it takes",
}


def to_api_error(error: Exception) -> ApiError:
    """Makes the response for an expected error of the layers below. Raises the error again where it is not expected."""
    message = str(error)
    match error:
        case ApiError():
            return error
        case HTTPException():
            # The framework's own: an address, a method, a body.
            status = error.status_code
            sentence = _MESSAGE_BY_STATUS.get(status, str(error.detail))
            return ApiError(status, _CODE_BY_STATUS.get(status, "refused"), sentence, headers=error.headers)
        case RequestValidationError():
            return ApiError(422, "unprocessable", _first_message(error), problems=_field_rows(error))
        case (
            UnknownConnection()
            | UnknownWorkflow()
            | UnknownStep()
            | NotFound()
            | KeyNotStored()
            | NotInAccount()
        ):
            return ApiError(404, "not_found", message)
        case InvalidWorkflow():
            rows = problem_rows(error)
            if error.only_scopes:
                return ApiError(403, "key_scope_missing", message, problems=rows)
            return ApiError(422, "unfit", message, problems=rows)
        case RecordRefused():
            return ApiError(422, "unprocessable", error.reason)
        case IdempotencyKeyReused():
            return ApiError(422, "idempotency_key", message)
        case UnsentOperations():
            say = 'say {"unsent": "replan"} to plan it anew, {"unsent": "keep"} to send it as it was planned'
            sentence = f"{error.preview.workflow} has something unsent under older versions: {say}"
            for each in error.preview.open_consents():
                field = each.flag.removeprefix("--").replace("-", "_")
                sentence += f"; {each.what}: {field} {each.does}"
            return ApiError(409, "unsent", sentence, preview=to_json(error.preview))
        case PastRecords():
            say = (
                'say {"flows": "fire"} to let them, {"flows": "history"} to write them so that no flow starts'
            )
            return ApiError(
                409, "flows", f"{error.preview.describe()}: {say}", preview=to_json(error.preview)
            )
        case PeopleLifted():
            say = f'say {{"resubscribe": {error.preview.people}}} to let them'
            return ApiError(
                409, "opt_outs", f"{error.preview.describe()}: {say}", preview=to_json(error.preview)
            )
        case CommandRefused() | Conflict():
            return ApiError(409, "conflict", message)
        case CommandUnanswered():
            return ApiError(503, "not_answered", message, retry_after=RETRY_AFTER_S)
        case InvalidRequest() | TooLarge():
            return ApiError(422, "klaviyo_refused", message)
        case KeyRefused() | ScopeMissing():
            return ApiError(502, "klaviyo_key", message)
        case KlaviyoError():
            wait = int(error.retry_after or RETRY_AFTER_S) + 1
            return ApiError(503, "klaviyo_unavailable", message, retry_after=wait)
        case TimeoutError():
            return ApiError(
                503, "budget", "the account's budget had no free call in time", retry_after=RETRY_AFTER_S
            )
        case StoreError():
            return ApiError(503, "storage", message, retry_after=RETRY_AFTER_S)
    raise error


EXPECTED_ERRORS: tuple[type[Exception], ...] = (
    HTTPException,
    RequestValidationError,
    AskelError,
    RecordRefused,
    TimeoutError,
)
"""The errors for which `to_api_error` has a response, by their base classes."""


def install_handlers(app: FastAPI) -> None:
    """Registers a handler for every expected error, so that all have one shape."""
    for kind in EXPECTED_ERRORS:
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    if isinstance(error, BodyRefused):
        raise error
    refused = to_api_error(error)
    if refused.status_code == 405:
        # The framework names the methods of the first route of a path only.
        refused.headers = {"Allow": ", ".join(request.app.state.methods(request.scope["path"]))}
    return error_response(refused, request.scope["askel.request"])


def error_response(error: ApiError, request_id: str) -> Response:
    """Makes the response of an error."""
    fault: dict[str, Any] = {
        "code": error.code,
        "message": str(error.detail),
        "request": request_id,
        "problems": list(error.problems),
    }
    if error.preview is not None:
        fault["preview"] = error.preview
    # A lone surrogate from the query string is kept as an escape.
    content = json.dumps({"error": fault}, separators=(",", ":")).encode()
    return Response(content, error.status_code, dict(error.headers or {}), "application/json")


def problem_rows(invalid: InvalidWorkflow) -> list[dict[str, Any]]:
    """Returns the problems of a workflow or step, one row each."""
    return [_problem_row(problem) for problem in invalid.problems]


def _problem_row(problem: Problem) -> dict[str, Any]:
    row = {"field": problem.field, "message": problem.message, "suggestion": problem.suggestion}
    return {name: value for name, value in row.items() if value is not None}


def _field_rows(error: RequestValidationError) -> list[dict[str, Any]]:
    # pydantic's own rows hold the input, which may be large or private.
    return [{"field": _field_path(each), "message": str(each["msg"])} for each in error.errors()[:20]]


def _first_message(error: RequestValidationError) -> str:
    first = error.errors()[0]
    return f"{_field_path(first)}: {first['msg']}"


def _field_path(row: Mapping[str, Any]) -> str:
    parts = [str(part) for part in row["loc"]]
    return ".".join(parts[1:] or parts)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the error responses of a route, for the OpenAPI document."""
    return {
        status: {"model": FaultAnswer, "description": _STATUS_DESCRIPTIONS[status]} for status in statuses
    }


_STATUS_DESCRIPTIONS = {
    400: "The body can't be read: not JSON, not UTF-8, not gzip.",
    401: "No token, or one that is wrong, expired or revoked; for a webhook: the signature is wrong.",
    403: "The token lacks the scope or the connection, or the connection's key lacks a scope.",
    404: "There is no such thing; the message suggests what may have been meant.",
    408: "The body came too slowly.",
    409: "It can't be done in the present state.",
    413: "The body is over 5 MB, or holds too many records.",
    415: "A content type or encoding that this endpoint does not read.",
    422: "What was sent can't be used; `problems` says what and where.",
    429: "Too much at once: come back after `Retry-After` seconds.",
    502: "Klaviyo refuses the connection's key.",
    503: "Klaviyo, its budget or the disk can't serve this now: come back after `Retry-After` seconds.",
}
