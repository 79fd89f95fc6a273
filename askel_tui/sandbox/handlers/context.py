"""What a handler is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from askel_tui.sandbox.jsonapi.errors import invalid
from askel_tui.sandbox.state import sorted_views

if TYPE_CHECKING:
    from askel_tui.contract.endpoints import Endpoint
    from askel_tui.sandbox.state.account import Account
    from askel_tui.sandbox.state.settings import Settings
    from askel_tui.sandbox.state.sorted_views import Key, Page, T
    from askel_tui.sandbox.validation.query import Query


@dataclass(slots=True)
class Context:
    """One request that was let in: by whom, at which revision, and what it asks. `now` in seconds since 1970."""

    account: Account
    settings: Settings
    endpoint: Endpoint
    revision: str
    ident: str
    query: Query
    body: Any
    base: str
    target: str
    now: float
    scopes: frozenset[str] | None = None

    @property
    def status(self) -> int:
        """The status of a success: where live and specification differ, that seen live."""
        return self.endpoint.success[-1]

    def asked(self, resource: str, additional: str) -> bool:
        """Whether an additional field was asked for."""
        return additional in self.query.additional.get(resource, ())

    def links(self, page: Page[Any] | None = None, *, paged: bool = True) -> dict[str, Any]:
        """The top-level links: the request's own URL, and the pages after and before."""
        links: dict[str, Any] = {"self": self._url(self.target)}
        if paged:
            links["next"] = self._at(page.next) if page and page.next else None
            links["prev"] = self._at(page.prev) if page and page.prev else None
        return links

    def page(self, rows: list[tuple[Key, T]], *, descending: bool | None = None) -> Page[T]:
        """The page that was asked for, of rows in ascending order. Raises the 400 for a bad cursor."""
        down = self.query.descending if descending is None else descending
        try:
            return sorted_views.page(rows, self.query.cursor, self.query.size, descending=down)
        except sorted_views.BadCursor:
            raise invalid("Invalid page cursor.", parameter="page[cursor]") from None

    def _url(self, target: str) -> str:
        path, _, query = target.partition("?")
        return f"{self.base}{path}" + (f"?{_encoded(query)}" if query else "")

    def _at(self, cursor: str) -> str:
        parts = urlsplit(self.target)
        pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "page[cursor]"]
        return f"{self.base}{parts.path}?{urlencode([*pairs, ('page[cursor]', cursor)])}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status and body, None for an empty one."""

    status: int
    body: dict[str, Any] | None = None


def _encoded(query: str) -> str:
    return urlencode(parse_qsl(query, keep_blank_values=True))
