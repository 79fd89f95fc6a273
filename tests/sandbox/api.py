"""A caller of a sandbox that knows nothing of Askel but its contract: every success is held against OpenAPI."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from askel_tui.contract.endpoints import NEWEST, published_endpoints
from askel_tui.contract.revisions import serving_revision
from tests.support.openapi import response_problems

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from askel_tui.sandbox.http.server import RunningSandbox


@dataclass
class Answered:
    """An answer: its status, headers and decoded body."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        """The primary data."""
        return self.body["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The first error object."""
        found: dict[str, Any] = self.body["errors"][0]
        return found

    @property
    def pointers(self) -> list[str]:
        """Where the errors point to."""
        return [one["source"].get("pointer") or one["source"]["parameter"] for one in self.body["errors"]]

    @property
    def ids(self) -> list[str]:
        """The ids of the primary data."""
        return [one["id"] for one in self.data]


@dataclass
class Api:
    """Calls one sandbox with one key at one revision."""

    sandbox: RunningSandbox
    session: aiohttp.ClientSession
    revision: str = NEWEST
    key: str = ""
    checked: set[str] = field(default_factory=set)

    async def __aenter__(self) -> Api:
        self.key = self.key or self.sandbox.key
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def raw(self, method: str, target: str, *, body: bytes | None = None, **headers: str) -> Answered:
        """A call as written: `target` is path and query, still encoded; `headers` take `_` for `-`."""
        sent = {"Authorization": f"Klaviyo-API-Key {self.key}", "revision": self.revision}
        if body is not None:
            sent["Content-Type"] = "application/vnd.api+json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        # Links to pages begin with https://, as Klaviyo's do.
        target = target.replace("https://", "http://", 1)
        url = URL(target if target.startswith("http") else self.sandbox.url + target, encoded=True)
        async with self.session.request(method, url, data=_sent(body), headers=sent) as answer:
            text = await answer.read()
            jsonish = "json" in answer.headers.get("Content-Type", "")
            return Answered(answer.status, answer.headers, json.loads(text) if text and jsonish else None)

    async def call(
        self,
        name: str,
        ident: str = "",
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        revision: str | None = None,
    ) -> Answered:
        """A call by the endpoint's name; its success is checked against the OpenAPI file of what serves it."""
        revision = revision or self.revision
        at = published_endpoints(revision)[name]
        path = at.url_path(id=ident, job_id=ident)
        target = str(URL(path, encoded=True).with_query(dict(query or {})))
        data = None if body is None else json.dumps(body).encode()
        answer = await self.raw(at.method, target, body=data, revision=revision)
        settings = self.sandbox.world.settings
        day = date.fromisoformat(settings.today) if settings.today else datetime.now(UTC).date()
        by = revision if settings.retired == "serve" else serving_revision(revision, day)
        if answer.status < 300:
            sparse = any(key.startswith("fields") for key in query or {})
            problems = response_problems(by, name, answer.status, answer.body, sparse=sparse)
            assert not problems, f"{name} at {by}: {problems[:5]}"
            self.checked.add(name)
        return answer

    async def pages(
        self, name: str, ident: str = "", *, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[Answered]:
        """All pages, by `links.next`."""
        answer = await self.call(name, ident, query=query)
        while True:
            yield answer
            after = answer.body["links"]["next"]
            if after is None:
                return
            answer = await self.raw("GET", after)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the control surface, which must succeed."""
        data = None if body is None else json.dumps(body).encode()
        answer = await self.raw(method, f"/sandbox/{quote(path, safe='/?=&')}", body=data)
        assert answer.status == 200, answer.body
        return answer.body

    async def state(self) -> Any:
        """What the account holds."""
        return await self.control("GET", "state")

    async def upsert(self, email: str, **more: Any) -> Answered:
        """Creates or updates a profile."""
        attributes = {"email": email, **more}
        body = {"data": {"type": "profile", "attributes": attributes}}
        return await self.call("create_or_update_profile", body=body)


def _sent(body: bytes | None) -> bytes | io.BytesIO | None:
    """The body as aiohttp takes it without a warning."""
    return io.BytesIO(body) if body and len(body) > 1_000_000 else body


def api_of(sandbox: RunningSandbox, revision: str = NEWEST) -> Api:
    """A caller; use as an async context manager."""
    return Api(sandbox, aiohttp.ClientSession(), revision)


def event_body(email: str, metric: str, unique: str | None = None, **more: Any) -> dict[str, Any]:
    """A single event's body; `profile` are attributes beside the e-mail."""
    profile = {"email": email, **more.pop("profile", {})}
    attributes = {
        "properties": more.pop("properties", {}),
        "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
        "profile": {"data": {"type": "profile", "attributes": profile}},
        **({"unique_id": unique} if unique else {}),
        **more,
    }
    return {"data": {"type": "event", "attributes": attributes}}


def bulk_events_body(*groups: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A bulk event call: (e-mail, [attributes with `metric` as a name, …]) per profile."""
    rows = []
    for email, events in groups:
        made = []
        for event in events:
            named = {"data": {"type": "metric", "attributes": {"name": event["metric"]}}}
            made.append({"type": "event", "attributes": {"properties": {}, **event, "metric": named}})
        person = {"data": {"type": "profile", "attributes": {"email": email}}}
        attributes = {"profile": person, "events": {"data": made}}
        rows.append({"type": "event-bulk-create", "attributes": attributes})
    whole = {"events-bulk-create": {"data": rows}}
    return {"data": {"type": "event-bulk-create-job", "attributes": whole}}


def members_body(*idents: str) -> dict[str, Any]:
    """Profiles to add to a list or to remove from it."""
    return {"data": [{"type": "profile", "id": ident} for ident in idents]}


def import_body(*profiles: dict[str, Any], lists: tuple[str, ...] = ()) -> dict[str, Any]:
    """A bulk import of attributes, into lists."""
    rows = [{"type": "profile", "attributes": attributes} for attributes in profiles]
    data: dict[str, Any] = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": rows}}}
    if lists:
        data["relationships"] = {"lists": {"data": [{"type": "list", "id": ident} for ident in lists]}}
    return {"data": data}


def consent_body(
    verb: str, *rows: dict[str, Any], group: str | None = None, historical: bool | None = None, **more: Any
) -> dict[str, Any]:
    """A subscribe (`create`) or unsubscribe (`delete`) job; a row is its attributes, channels from `_consent`."""
    kind = f"profile-subscription-bulk-{verb}-job"
    profiles = [{"type": "profile", "attributes": row} for row in rows]
    attributes: dict[str, Any] = {"profiles": {"data": profiles}, **more}
    if historical is not None:
        attributes["historical_import"] = historical
    data: dict[str, Any] = {"type": kind, "attributes": attributes}
    if group:
        data["relationships"] = {"list": {"data": {"type": "list", "id": group}}}
    return {"data": data}


def consents(word: str, *channels: str, at: str | None = None) -> dict[str, Any]:
    """The `subscriptions` of a row."""
    one = {"consent": word, **({"consented_at": at} if at else {})}
    return {channel: {"marketing": dict(one)} for channel in channels}
