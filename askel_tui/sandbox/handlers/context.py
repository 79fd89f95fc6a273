"""The request as a handler gets it, and the reply that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from askel_tui.sandbox.jsonapi.errors import invalid, not_found
from askel_tui.sandbox.state import sorted_views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.contract.endpoints import Endpoint
    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.settings import Settings
    from askel_tui.sandbox.state.sorted_views import Page, SortKey, T
    from askel_tui.sandbox.validation.query import Query


@dataclass(slots=True)
class Context:
    """One request that was let in: its account, revision, query and body. `now` is in seconds since 1970."""

    account: Account
    settings: Settings
    endpoint: Endpoint
    revision: str
    path_id: str
    query: Query
    body: Any
    base_url: str
    raw_path: str
    now: float
    scopes: frozenset[str] | None = None

    @property
    def status(self) -> int:
        """The status of a success: where Klaviyo and its specification differ, the one that Klaviyo answers."""
        return self.endpoint.success[-1]

    def is_requested(self, resource: str, additional: str) -> bool:
        """Checks whether an additional field was asked for."""
        return additional in self.query.additional_fields.get(resource, ())

    def links(self, page: Page[Any] | None = None, *, paged: bool = True) -> dict[str, Any]:
        """Builds the top-level links: the request's own URL, and the pages after and before."""
        links: dict[str, Any] = {"self": self._url(self.raw_path)}
        if paged:
            links["next"] = self._url_of_page(page.next) if page and page.next else None
            links["prev"] = self._url_of_page(page.prev) if page and page.prev else None
        return links

    def reply(self, data: Any, included: list[Any] | None = None, *, status: int = 200) -> Reply:
        """Builds a reply without pages: a resource, or all of a few; `included` where other resources were asked
        for."""
        body = {"data": data, "links": self.links(paged=False)}
        return Reply(status, body if included is None else {**body, "included": included})

    def requested(self, kind: str, held: Mapping[str, T]) -> T:
        """Finds the resource that the path names. Raises the 404."""
        return known(kind, held, self.path_id)

    def body_data(self) -> dict[str, Any]:
        """Reads the resource in the body, whose id is that of the path. Raises the 400 where it isn't."""
        data: dict[str, Any] = self.body["data"]
        if data["id"] != self.path_id:
            raise invalid("The id of the body and that of the path must be the same.", "/data/id")
        return data

    def page(self, rows: list[tuple[SortKey, T]], *, descending: bool | None = None) -> Page[T]:
        """Cuts the page that was asked for from rows in ascending order. Raises the 400 for a bad cursor."""
        down = self.query.descending if descending is None else descending
        try:
            return sorted_views.cut_page(rows, self.query.cursor, self.query.page_size, descending=down)
        except sorted_views.InvalidCursor:
            raise invalid("Invalid page cursor.", parameter="page[cursor]") from None

    def _url(self, target: str) -> str:
        path, _, query = target.partition("?")
        return f"{self.base_url}{path}" + (f"?{_encode_query(query)}" if query else "")

    def _url_of_page(self, cursor: str) -> str:
        parts = urlsplit(self.raw_path)
        pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "page[cursor]"]
        # Klaviyo's SDK takes a cursor out of a link only where that begins with https://, as Klaviyo's own do.
        base = self.base_url.replace("http://", "https://", 1)
        return f"{base}{parts.path}?{urlencode([*pairs, ('page[cursor]', cursor)])}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: its status, and its body, None for an empty one."""

    status: int
    body: dict[str, Any] | None = None


def known(kind: str, held: Mapping[str, T], ident: str) -> T:
    """Finds the resource with an id. Raises the 404."""
    if ident not in held:
        raise not_found(kind, ident)
    return held[ident]


def _encode_query(query: str) -> str:
    return urlencode(parse_qsl(query, keep_blank_values=True))
