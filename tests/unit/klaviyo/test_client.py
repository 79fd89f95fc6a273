"""The client over a real socket: what is sent, what each response means, when a call is made again."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from typing import Any

import pytest
from aiohttp import web

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import dialect
from askel_tui.core.fingerprints import fingerprint
from askel_tui.klaviyo import errors as kinds
from askel_tui.klaviyo.addresses import BadAddress
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.http_limits import HttpLimits
from tests.support.openapi import validate_call
from tests.support.stub_server import KEY, NEWEST, OLD, Sleeps, Stub, answer, client_of, errors, serving

pytestmark = pytest.mark.clock

UPSERT = {"data": {"type": "profile", "attributes": {"email": "ada@mapleandember.example"}}}


@pytest.mark.parametrize(
    ("revision", "media", "path"),
    [
        (OLD, "application/json", "/api/profile-import/"),
        (NEWEST, "application/vnd.api+json", "/api/profile-import"),
    ],
)
async def test_a_write_has_the_revisions_own_path_and_headers(revision: str, media: str, path: str) -> None:
    body = dialect(revision).profile_import({"email": "ada@mapleandember.example"}, {}, {"Tier": "Gold"})
    stub = Stub([answer({"data": {"type": "profile", "id": "01"}}, 201)])
    async with serving(stub), client_of(stub, revision) as client:
        got = await client.call(Call.CREATE_OR_UPDATE_PROFILE, body=body)
    asked = stub.asked[0]
    validate_call(revision, asked.method, asked.path, asked.query, asked.body)
    assert asked.target == path
    assert asked.headers["authorization"] == f"Klaviyo-API-Key {KEY}"
    assert asked.headers["revision"] == revision
    assert asked.headers["x-klaviyo-revision-fall-forward-opt-out"] == "1"
    assert asked.headers["accept"] == media
    assert asked.headers["content-type"] == media
    assert json.loads(asked.body) == body
    assert (got.status, got.body["data"]["id"], got.attempts) == (201, "01", 1)


async def test_a_read_has_no_body_and_its_query_is_percent_encoded() -> None:
    query = {"filter": 'equals(phone_number,"+442079460018")', "fields[profile]": "email"}
    async with serving(Stub([answer({"data": []})])) as stub, client_of(stub) as client:
        await client.call(Call.GET_PROFILES, query=query)
    asked = stub.asked[0]
    assert asked.query == query
    assert asked.body == b""
    assert "content-type" not in asked.headers
    assert not set(asked.target.partition("?")[2]) & set('"[]+ ')


async def test_an_id_stays_within_its_part_of_the_path() -> None:
    async with serving(Stub([answer({"data": {}})])) as stub, client_of(stub) as client:
        await client.call(Call.GET_LIST, ids={"id": "a/b?c#d e"})
        for nowhere in ("", ".", ".."):
            with pytest.raises(kinds.NotInAccount):
                await client.call(Call.GET_LIST, ids={"id": nowhere})
    assert [asked.target for asked in stub.asked] == ["/api/lists/a%2Fb%3Fc%23d%20e"]


async def test_an_empty_answer_is_none_and_the_burst_window_is_reported() -> None:
    async with serving(Stub([answer(None, 204, RateLimit_Remaining="9")])) as stub, client_of(stub) as client:
        got = await client.call(Call.ADD_PROFILES_TO_LIST, ids={"id": "L"}, body={"data": []})
    assert (got.status, got.body, got.raw, got.remaining) == (204, None, b"", 9)


async def test_a_compressed_answer_is_read() -> None:
    async def squeezed(_: Any) -> web.StreamResponse:
        response = answer({"data": {"id": "x" * 5000}})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with serving(Stub(handler=squeezed)) as stub, client_of(stub) as client:
        got = await client.call(Call.GET_LIST, ids={"id": "L"})
    assert got.body["data"]["id"] == "x" * 5000


@pytest.mark.parametrize(
    "date", ["yesterday", "", "Mon, 99 Foo 2026 99:99:99 GMT", "Mon, 01 Jan 99999 00:00:00 GMT"]
)
async def test_klaviyos_time_is_that_of_its_last_answer(date: str) -> None:
    async with serving(Stub()) as stub, client_of(stub) as client:
        assert client.server_time() is None
        stub.answers = [answer({"data": {}}, Date="Mon, 23 Nov 2026 09:14:05 GMT")]
        await client.call(Call.GET_LIST, ids={"id": "L"})
        then = 1_795_425_245_999
        assert then <= (client.server_time() or 0) < then + 60_000
        stub.answers = [answer({"data": {}}, Date=date)]
        await client.call(Call.GET_LIST, ids={"id": "L"})
        assert client.server_time() is None


@pytest.mark.parametrize(
    ("response", "kind", "status"),
    [
        (lambda: errors(400, "invalid", "Invalid email address"), kinds.InvalidRequest, 400),
        (lambda: errors(400, "authentication_failed", "Incorrect"), kinds.KeyRefused, 400),
        (lambda: errors(401, "authentication_failed", "Incorrect"), kinds.KeyRefused, 401),
        (lambda: errors(403, "permission_denied", "No permission"), kinds.ScopeMissing, 403),
        (lambda: errors(404, "not_found", "A list with id `X` does not exist."), kinds.NotInAccount, 404),
        (lambda: errors(404, "x", "No valid revisions found for method"), kinds.NotInThisRevision, 404),
        (lambda: web.Response(text="<html>", status=404), kinds.UnreadableResponse, 404),
        (lambda: errors(405, "method_not_allowed", "No"), kinds.KlaviyoError, 405),
        (lambda: errors(409, "duplicate_profile", "Taken"), kinds.Conflict, 409),
        (lambda: answer({"message": "retired"}, 410), kinds.RevisionRetired, 410),
        (lambda: web.Response(status=413), kinds.TooLarge, 413),
        (lambda: errors(429, "throttled", "Slow", Retry_After="1"), kinds.RateLimited, 429),
        (lambda: web.Response(text="<html>challenge", status=403), kinds.Unavailable, 403),
        (lambda: web.Response(status=503), kinds.Unavailable, 503),
        (lambda: web.Response(text="{not json", status=200), kinds.UnreadableResponse, 200),
        (lambda: web.Response(text="[" * 100_000, status=200), kinds.UnreadableResponse, 200),
    ],
)
async def test_each_answer_is_its_kind_of_error(response: Any, kind: type[Exception], status: int) -> None:
    async with serving(Stub([response])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.KlaviyoError) as caught:
            await client.call(Call.CREATE_OR_UPDATE_PROFILE, body=UPSERT)
    assert type(caught.value) is kind
    assert caught.value.status == status


async def test_all_errors_of_an_answer_are_kept_with_their_pointers() -> None:
    items = [
        {
            "code": "invalid",
            "title": "Invalid input.",
            "detail": f"bad {n}",
            "source": {"pointer": f"/data/{n}"},
        }
        for n in range(3)
    ]
    async with serving(Stub([answer({"errors": [*items, "odd"]}, 400)])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.InvalidRequest) as caught:
            await client.call(Call.CREATE_EVENT, body={})
    error = caught.value
    assert [(item.detail, item.pointer) for item in error.errors] == [
        ("bad 0", "/data/0"),
        ("bad 1", "/data/1"),
        ("bad 2", "/data/2"),
    ]
    assert (error.code, error.detail, error.pointer) == ("invalid", "bad 0", "/data/0")
    assert "bad 0" in str(error)
    assert "2 more" in str(error)
    assert json.loads(error.body)["errors"][0]["detail"] == "bad 0"


async def test_a_conflict_names_the_other_profile() -> None:
    taken = errors(409, "duplicate_profile", "Taken", meta={"duplicate_profile_id": "01MPK3"})
    async with serving(Stub([taken])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.Conflict) as caught:
            await client.call(Call.CREATE_OR_UPDATE_PROFILE, body=UPSERT)
    assert caught.value.duplicate_profile_id == "01MPK3"


async def test_a_missing_scope_is_explained_by_the_scopes_of_the_call() -> None:
    denied = errors(403, "permission_denied", "You do not have permission to perform this action.")
    async with serving(Stub([denied])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.ScopeMissing, match="lists:write and profiles:write"):
            await client.call(Call.ADD_PROFILES_TO_LIST, ids={"id": "L"}, body={"data": []})
    assert len(stub.asked) == 1


async def test_a_call_that_the_revision_lacks_is_not_sent() -> None:
    async with serving(Stub([answer({})])) as stub, client_of(stub, OLD) as client:
        with pytest.raises(kinds.NotInThisRevision, match="2024-05-15"):
            await client.call(Call.BULK_CREATE_EVENTS, body={})
    assert stub.asked == []


async def test_a_redirect_is_never_followed() -> None:
    async with serving(Stub([answer({"data": []})])) as elsewhere:
        away = answer(None, 307, Location=f"{elsewhere.url}/api/lists")
        async with serving(Stub([away])) as stub, client_of(stub) as client:
            with pytest.raises(kinds.UnreadableResponse, match="redirect"):
                await client.call(Call.GET_LISTS)
    assert elsewhere.asked == []


# Making a call again.


async def test_a_passing_trouble_is_waited_out() -> None:
    sleeps = Sleeps()
    script = [
        lambda: web.Response(status=503),
        lambda: web.Response(text="<html>", status=403),
        answer({"data": 1}),
    ]
    async with serving(Stub(script)) as stub, client_of(stub, retry_policy=sleeps.policy()) as client:
        got = await client.call(Call.GET_LIST, ids={"id": "L"})
    assert got.attempts == 3
    assert sleeps.slept == [0.5, 1.0]


async def test_attempts_are_bounded_in_number() -> None:
    async with serving(Stub([lambda: web.Response(status=500)])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(Call.CREATE_EVENT, body={})
    assert len(stub.asked) == 4
    assert caught.value.attempts == 4


async def test_attempts_are_bounded_in_time() -> None:
    policy = Sleeps().policy(max_attempts=100, max_total_s=10.0, first_wait_s=3.0)
    async with (
        serving(Stub([lambda: web.Response(status=500)])) as stub,
        client_of(stub, retry_policy=policy) as client,
    ):
        with pytest.raises(kinds.Unavailable):
            await client.call(Call.CREATE_EVENT, body={})
    assert len(stub.asked) == 3  # at 0, 3 and 9 seconds; the next would be at 17


async def test_a_rate_limit_is_waited_out_never_too_early() -> None:
    sleeps = Sleeps()
    script = [lambda: errors(429, "throttled", "Slow", Retry_After="7"), answer(None, 202)]
    async with serving(Stub(script)) as stub, client_of(stub, retry_policy=sleeps.policy()) as client:
        got = await client.call(Call.BULK_SUBSCRIBE_PROFILES, body={}, retry_mode="certain")
    assert got.attempts == 2
    assert 7.0 <= sleeps.slept[0] <= 8.0


@pytest.mark.parametrize("retry_after", ["60", "Mon, 23 Nov 2099 09:00:00 GMT"])
async def test_a_rate_limit_beyond_the_time_left_is_raised_at_once(retry_after: str) -> None:
    sleeps = Sleeps()
    slow = errors(429, "throttled", "Slow", Retry_After=retry_after)
    async with serving(Stub([slow])) as stub, client_of(stub, retry_policy=sleeps.policy()) as client:
        with pytest.raises(kinds.RateLimited) as caught:
            await client.call(Call.GET_LISTS)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 60
    assert sleeps.slept == []
    assert len(stub.asked) == 1


@pytest.mark.parametrize("odd", ["soon", "", "-3", "²", "99999999999999999999 Foo"])
async def test_a_rate_limit_without_a_readable_wait_is_waited_out_too(odd: str) -> None:
    script = [lambda: errors(429, "throttled", "Slow", Retry_After=odd), answer({"data": []})]
    async with serving(Stub(script)) as stub, client_of(stub) as client:
        assert (await client.call(Call.GET_LISTS)).attempts == 2


@pytest.mark.parametrize(
    "trouble",
    [lambda: web.Response(status=500), lambda: web.Response(text="<html>", status=403)],
)
async def test_consent_is_not_sent_again_once_it_may_have_arrived(trouble: Any) -> None:
    async with serving(Stub([trouble])) as stub, client_of(stub) as client:
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(Call.BULK_SUBSCRIBE_PROFILES, body={}, retry_mode="certain")
    assert caught.value.may_have_arrived
    assert len(stub.asked) == 1


async def test_consent_is_sent_again_after_the_edge_refused_it() -> None:
    challenge = [
        lambda: web.Response(text="<html>", status=403, headers={"cf-mitigated": "challenge"}),
        answer(None, 202),
    ]
    async with serving(Stub(challenge)) as stub, client_of(stub) as client:
        assert (await client.call(Call.BULK_SUBSCRIBE_PROFILES, body={}, retry_mode="certain")).attempts == 2


@pytest.mark.parametrize("call", [Call.GET_LISTS, Call.CREATE_EVENT, Call.DELETE_LIST])
async def test_a_connection_cut_after_the_request_may_have_arrived(call: Call) -> None:
    ids = {"id": "L"} if call == Call.DELETE_LIST else {}
    async with serving(Stub([answer({"data": []})])) as stub, client_of(stub) as client:
        await client.call(Call.GET_ACCOUNTS)  # the cut one is then a connection that was used before
        stub.hang_up_after = 1
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(call, ids=ids, retry_mode="certain")
    assert caught.value.may_have_arrived
    assert len(stub.asked) == 2, "nothing but us may repeat a request"


async def test_a_cut_connection_is_repeated_where_that_is_harmless() -> None:
    async with serving(Stub([answer({"data": []})], hang_up_after=1)) as stub, client_of(stub) as client:
        assert (await client.call(Call.GET_LISTS)).attempts == 2


async def test_a_refused_connection_certainly_did_not_arrive() -> None:
    async with serving(Stub()) as stub:
        pass
    sleeps = Sleeps()
    async with client_of(stub, retry_policy=sleeps.policy()) as client:
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(Call.BULK_SUBSCRIBE_PROFILES, body={}, retry_mode="certain")
    assert not caught.value.may_have_arrived
    assert caught.value.attempts == 4
    assert stub.url in str(caught.value)


async def test_a_name_that_does_not_resolve_certainly_did_not_arrive() -> None:
    async with Client(
        key=KEY, revision=NEWEST, url="http://nobody.invalid", retry_policy=Sleeps().policy()
    ) as client:
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(Call.GET_ACCOUNTS)
    assert not caught.value.may_have_arrived


async def test_an_untrusted_certificate_certainly_did_not_arrive() -> None:
    async with serving(Stub([answer({})])) as stub:
        url = stub.url.replace("http:", "https:")  # a server that speaks no TLS at all
        async with Client(key=KEY, revision=NEWEST, url=url, retry_policy=Sleeps().policy()) as client:
            with pytest.raises(kinds.Unavailable) as caught:
                await client.call(Call.GET_ACCOUNTS)
    assert not caught.value.may_have_arrived
    assert stub.asked == []


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 2", b"garbage\r\n\r\n"]
)
async def test_an_answer_that_ends_early_may_have_arrived(head: bytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(key=KEY, revision=NEWEST, url=url, retry_policy=Sleeps().policy()) as client:
        with pytest.raises(kinds.Unavailable) as caught:
            await client.call(Call.GET_LISTS, retry_mode="certain")
    assert caught.value.may_have_arrived


async def test_an_answer_without_end_is_given_up() -> None:
    limits = HttpLimits(max_response_bytes=100_000)
    async with (
        serving(Stub([web.Response(body=b" " * 200_000)])) as stub,
        client_of(stub, http_limits=limits) as client,
    ):
        with pytest.raises(kinds.UnreadableResponse, match="larger"):
            await client.call(Call.GET_LISTS)


async def test_the_hook_is_awaited_before_each_attempt() -> None:
    order: list[str] = []

    async def note(_: Any) -> web.StreamResponse:
        order.append("sent")
        return web.Response(status=500 if order.count("sent") == 1 else 202)

    async def before() -> None:
        order.append("before")

    async with serving(Stub(handler=note)) as stub, client_of(stub) as client:
        await client.call(Call.CREATE_EVENT, body={}, before_attempt=before)
    assert order == ["before", "sent", "before", "sent"]


async def test_a_cancelled_call_ends_at_once() -> None:
    reached = asyncio.Event()

    async def never(_: Any) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        return web.Response()

    async with serving(Stub(handler=never)) as stub, client_of(stub) as client:
        call = asyncio.create_task(client.call(Call.GET_LISTS))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(stub.asked) == 1


# The key.


async def test_the_key_is_nowhere_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    escaped = "".join(f"\\u{ord(char):04x}" for char in KEY)
    echoes = [
        lambda: errors(400, "invalid", f"the key {KEY} is odd", pointer=KEY, meta={KEY: [KEY]}),
        lambda: web.Response(
            text=f'{{"errors": [{{"code": "invalid", "detail": "{escaped}"}}]}}', status=400
        ),
        lambda: web.Response(text=f"<html>{KEY}", status=400),
    ]
    seen: list[str] = []
    async with serving(Stub([*echoes])) as stub, client_of(stub) as client:
        for _ in echoes:
            with pytest.raises(kinds.InvalidRequest) as caught:
                await client.call(Call.CREATE_EVENT, body={})
            error = caught.value
            seen += [
                str(error),
                repr(error),
                repr(error.errors),
                error.body.decode(),
                escaped_out(error.body),
            ]
            seen += traceback.format_exception(error)
        stub.hang_up_after = 4
        with pytest.raises(kinds.Unavailable) as cut:
            await client.call(Call.CREATE_EVENT, body={})
        assert cut.value.__context__ is None or KEY not in repr(cut.value.__context__)
        seen += [repr(client), repr(vars(cut.value)), repr(cut.value.__cause__)]
        stub.answers = [answer({"data": {"id": f"my {KEY}"}})]
        got = await client.call(Call.GET_LIST, ids={"id": "L"})
        seen += [repr(got)]
    seen += [record.getMessage() for record in caplog.records] + [caplog.text]
    assert not [text for text in seen if KEY in text]
    assert fingerprint(KEY) in repr(client)


def escaped_out(body: bytes) -> str:
    """The body as JSON reads it, so that no escape hides anything."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError:
        return ""


@pytest.mark.parametrize("key", ["", "  ", "pk_a b", "pk_a\r\nX: 1", "pk_é", "pk_\x00"])
def test_text_that_cannot_be_a_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="not a private key") as caught:
        Client(key=key, revision=NEWEST)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.klaviyo.com",
        "a.klaviyo.com",
        "https://",
        "https://me:secret@host",
        "https://host/?a=1",
        "http://[::1",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        Client(key=KEY, revision=NEWEST, url=url)
    assert "secret" not in str(caught.value)


async def test_the_address_may_have_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Stub([answer({"data": []})])) as stub:
        monkeypatch.setenv("ASKEL_KLAVIYO_URL", f"{stub.url}/under/")
        async with Client(key=KEY, revision=NEWEST) as client:
            await client.call(Call.GET_LISTS)
    assert stub.asked[0].target == "/under/api/lists"


async def test_many_calls_at_once_share_connections() -> None:
    async def handle(_: Any) -> web.StreamResponse:
        return answer({"data": []})

    async with serving(Stub(handler=handle)) as stub:
        async with client_of(stub) as one, client_of(stub) as other:
            await asyncio.gather(*(client.call(Call.GET_LISTS) for client in (one, other) for _ in range(50)))
        await one.call(Call.GET_LISTS)  # a closed client opens again
        await one.aclose()
    assert len(stub.asked) == 101
