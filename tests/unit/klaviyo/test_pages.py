"""Paging: to the end, at the revision's page size, and only at the address of the first page."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from askel_tui.contract.calls import Call
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import UnreadableResponse
from tests.support.stub_server import NEWEST, OLD, Asked, Stub, answer, client_of, page, serving, valid

RESOURCES = [{"type": "list", "id": f"L{n}"} for n in range(25)]


def paged(stub: Stub, link: str = "{origin}{path}?{query}") -> Any:
    """Ten lists a page; the cursor holds what has to survive a link."""

    async def handle(asked: Asked) -> Any:
        start = int(asked.query.get("page[cursor]", "<+ 0>").strip("<+ >"))
        rest = {name: value for name, value in asked.query.items() if name != "page[cursor]"}
        rest["page[cursor]"] = f"<+ {start + 10}>"
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in rest.items())
        following = link.format(origin=stub.url, path=asked.path, query=query)
        return page(RESOURCES[start : start + 10], following if start + 10 < len(RESOURCES) else None)

    return handle


async def ids_of(client: Client, **options: Any) -> list[str]:
    return [each["id"] async for each in client.pages(Call.GET_LISTS, **options)]


@pytest.mark.parametrize("revision", [OLD, NEWEST])
async def test_all_pages_come_in_order(revision: str) -> None:
    stub = Stub()
    stub.handler = paged(stub)
    async with serving(stub), client_of(stub, revision) as client:
        got = await ids_of(client, query={"filter": 'any(name,["a+b","ü"])'})
    assert got == [each["id"] for each in RESOURCES]
    assert len(stub.asked) == 3
    assert {asked.query["filter"] for asked in stub.asked} == {'any(name,["a+b","ü"])'}
    assert {asked.query.get("page[size]") for asked in stub.asked} == (
        {"10"} if revision == NEWEST else {None}
    )
    valid(stub, revision)


async def test_a_limit_ends_the_reading() -> None:
    stub = Stub()
    stub.handler = paged(stub)
    async with serving(stub), client_of(stub) as client:
        assert len(await ids_of(client, limit=12)) == 12
        assert len(await ids_of(client, limit=3)) == 3
    assert len(stub.asked) == 3
    assert stub.asked[-1].query["page[size]"] == "3"


@pytest.mark.parametrize(
    "link",
    [
        "{path}?{query}",
        "{origin}{path}/?{query}",
        "https://127.0.0.1:{port}{path}?{query}",
        "http://localhost:{port}{path}?{query}",
        "https://a.klaviyo.com{path}?{query}",
    ],
)
async def test_a_link_may_differ_in_form(link: str) -> None:
    stub = Stub()
    async with serving(stub), client_of(stub) as client:
        stub.handler = paged(stub, link.replace("{port}", stub.url.rsplit(":", 1)[1]))
        assert len(await ids_of(client)) == 25


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example{path}?{query}",
        "https://a.klaviyo.com/api/profiles?{query}",
        "https://a.klaviyo.com.evil.example{path}?{query}",
        "http://localhost:1{path}?{query}",
        "{origin}.evil.example{path}?{query}",
        "http://user@evil.example{path}?{query}",
        "//evil.example{path}?{query}",
        "{origin}/api/elsewhere?{query}",
        "{origin}{path}/../profiles?{query}",
        "ftp://127.0.0.1{path}?{query}",
        "http://[bad{path}?{query}",
    ],
)
async def test_a_link_elsewhere_is_refused(link: str) -> None:
    stub = Stub()
    stub.handler = paged(stub, link)
    async with serving(stub), client_of(stub) as client:
        with pytest.raises(UnreadableResponse, match="next page"):
            await ids_of(client)
    assert len(stub.asked) == 1


async def test_pages_in_a_circle_end() -> None:
    stub = Stub()

    async def circle(asked: Asked) -> Any:
        cursor = {"": "a", "a": "b", "b": "a"}[asked.query.get("page[cursor]", "")]
        return page(RESOURCES[:1], f"{stub.url}/api/lists?page[cursor]={cursor}")

    stub.handler = circle
    async with serving(stub), client_of(stub) as client:
        with pytest.raises(UnreadableResponse, match="circle"):
            await ids_of(client)
    assert len(stub.asked) == 3


@pytest.mark.parametrize(
    "body", [None, [], {}, {"data": {}}, {"data": [1]}, {"data": [], "links": {"next": 5}}, {"errors": []}]
)
async def test_a_body_that_is_no_page_is_unreadable(body: Any) -> None:
    async with serving(Stub([answer(body)])) as stub, client_of(stub) as client:
        with pytest.raises(UnreadableResponse):
            await ids_of(client)
