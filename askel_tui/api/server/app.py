"""The ASGI application: routes, error handlers, the OpenAPI document and a page that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from askel_tui import __version__
from askel_tui.api.routes import cloudevents, direct_writes, operations, questions, records, segment, webhooks
from askel_tui.api.server.middleware import RequestMiddleware
from askel_tui.api.shared import errors
from askel_tui.api.shared.context import ApiContext

API_DESCRIPTION = """\
Records in the moment they happen, answers before something is shown, flows fired directly.

Every request needs a token: `Authorization: Bearer askel_…` (Segment's clients send it as their write key).
`askel token create NAME --scope send --connection CONNECTION` makes one.

Limits: 5 MB and 10,000 records a body, 64 levels, 20 s for a body to come in. 429 and 503 say in `Retry-After`
when to come back; a record that was answered with 202 is on the disk.
"""

_RECORDS_PATH = re.compile(r"/v1/connections/([^/]+)/records")
_RECORDS_ROUTE = next(
    route for route in records.router.routes if getattr(route, "path", None) == records.RECORDS_ROUTE
)

PUBLIC_PATHS = ("/healthz", "/readyz")

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ApiApplication:
    """The ASGI application. Records bypass the framework's layers, which take longer than storing a record does."""

    def __init__(self, context: ApiContext) -> None:
        self._app = build_app(context)
        self._middleware = RequestMiddleware(self._accept_records, context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _RECORDS_PATH.fullmatch(scope["path"]) if scope.get("method") == "POST" else None
        if match is None:
            await self._app(scope, receive, send)
            return
        scope.update(app=self._app, route=_RECORDS_ROUTE, path_params={"name": match[1]})
        await self._middleware(scope, receive, send)

    async def _accept_records(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await records.receive_records(request, scope["path_params"]["name"])
        except errors.BodyRefused:
            raise
        except errors.EXPECTED_ERRORS as error:
            response = errors.error_response(errors.to_api_error(error), scope["askel.request"])
        await response(scope, receive, send)


def build_app(context: ApiContext) -> FastAPI:
    """Builds the FastAPI application: routes, error handlers, OpenAPI document."""
    app = FastAPI(
        title="Askel",
        version=__version__,
        description=API_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(RequestMiddleware, context=context)],
        # An additional slash is answered with 404: a redirect would lose the body.
        redirect_slashes=False,
    )
    app.state.context = context
    errors.install_handlers(app)
    for each in (records, segment, cloudevents, webhooks, questions, direct_writes, operations):
        app.include_router(each.router)
    page = files("askel_tui.api.server").joinpath("docs.html").read_text(encoding="utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(
            page,
            headers={
                "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
                "X-Content-Type-Options": "nosniff",
            },
        )

    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_openapi_document(app))
        return document

    app.state.methods = _methods_by_path(openapi()["paths"])
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document
    return app


def _methods_by_path(paths: Mapping[str, Mapping[str, Any]]) -> Callable[[str], list[str]]:
    """Makes a function that gives the methods of a path, for the header Allow."""
    known = [
        (compile_path(path)[0], sorted(name.upper() for name in methods)) for path, methods in paths.items()
    ]

    def methods(path: str) -> list[str]:
        return next((names for pattern, names in known if pattern.match(path)), ["GET"])

    return methods


def _openapi_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of `askel token create`."},
        "writeKey": {"type": "http", "scheme": "basic", "description": "The token as the user's name."},
    }
    document["security"] = [{"token": []}, {"writeKey": []}]
    for path in PUBLIC_PATHS:
        for operation in document["paths"][path].values():
            operation["security"] = []
    return document
