"""Who may: tokens are stored as digests, bounded by scope, connection, expiry and rate, and revoked at once."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path

import pytest

from askel_tui.api.server.server import ListenRefused, parse_bind_address
from askel_tui.store.paths import state_file
from askel_tui.store.state.tokens import InvalidToken, Tokens, UnknownToken, is_valid, split_token
from tests.support.http_api import RECORDS, RunningApi
from tests.support.workbench import NAME, points

pytestmark = pytest.mark.clock


async def test_without_a_valid_token_nothing_is_done(quiet: RunningApi) -> None:
    quiet.http.headers.pop("authorization")
    good = quiet.token("good")["Authorization"].removeprefix("Bearer ")
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    for header in ("", "Bearer", "Bearer x", f"Bearer {wrong}", "Basic !!!", "Digest x", f"Token {good}"):
        answer = await quiet.http.post(RECORDS, json=points(1), headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert wrong not in answer.text
    basic = base64.b64encode(f"{good}:".encode()).decode()
    assert (
        await quiet.http.post(RECORDS, json=points(1), headers={"Authorization": f"Basic {basic}"})
    ).status_code == 202


async def test_a_revoked_token_is_refused_from_the_next_request_on(quiet: RunningApi) -> None:
    header = quiet.token("backend")
    assert (await quiet.http.post(RECORDS, json=points(1), headers=header)).status_code == 202
    quiet.tokens.revoke("backend")
    assert (await quiet.http.post(RECORDS, json=points(2), headers=header)).status_code == 401


async def test_an_expired_token_is_refused(quiet: RunningApi) -> None:
    now = quiet.bench.instance.clock()
    expired = quiet.token("old", expires=now - 1)
    lasting = quiet.token("new", expires=now + 60_000)
    assert (await quiet.http.post(RECORDS, json=points(1), headers=expired)).status_code == 401
    assert (await quiet.http.post(RECORDS, json=points(1), headers=lasting)).status_code == 202


async def test_scopes_and_connections_bound_what_a_token_may(quiet: RunningApi) -> None:
    reader = quiet.token("reader", "read")
    sender = quiet.token("sender", "send")
    elsewhere = quiet.token("elsewhere", "send", connections=["other"])
    assert (await quiet.http.post(RECORDS, json=points(1), headers=reader)).status_code == 403
    refused = await quiet.http.post(RECORDS, json=points(1), headers=elsewhere)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "connection"
    for path in ("profiles?email=a@x.example", "audit"):
        assert (await quiet.http.get(f"/v1/connections/{NAME}/{path}", headers=sender)).status_code == 403
    assert (await quiet.http.get("/metrics", headers=sender)).status_code == 403


async def test_a_rate_is_kept_and_said(quiet: RunningApi) -> None:
    slow = quiet.token("slow", rate=2)
    answers = [await quiet.http.post(RECORDS, json=points(n), headers=slow) for n in range(8)]
    over = [answer for answer in answers if answer.status_code == 429]
    assert over
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in over)
    assert len(await quiet.stored()) == 8 - len(over)


async def test_who_is_not_let_in_is_answered_before_the_body(quiet: RunningApi) -> None:
    answer = await quiet.http.post(
        f"/v1/connections/{NAME}/events", content=b"{" * 1000, headers={"Authorization": "Bearer x"}
    )
    assert answer.status_code == 401


def test_only_digests_are_stored(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    made, text = tokens.create("backend", ("send", "read"), now=1, connections=["a"])
    parts = split_token(text)
    assert parts is not None
    assert parts[1] not in state_file(tmp_path).read_text()
    assert parts[1] not in repr(made)
    assert made.digest not in repr(made)
    assert tokens.all() == [made]


def test_comparing_takes_as_long_for_any_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, text = Tokens(tmp_path).create("backend", ("send",), now=1)
    parts = split_token(text)
    assert parts is not None
    compared = []
    compare = hmac.compare_digest

    def watched(first: str, second: str) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr("hmac.compare_digest", watched)
    assert is_valid(made, parts[1], 2)
    assert not is_valid(made, "wrong", 2)
    assert len(compared) == 2


def test_names_are_unique_and_unknown_ones_suggested(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create("backend", ("send",), now=1)
    with pytest.raises(InvalidToken):
        tokens.create("backend", ("send",), now=1)
    with pytest.raises(InvalidToken):
        tokens.create("../x", ("send",), now=1)
    with pytest.raises(UnknownToken, match="backend"):
        tokens.revoke("backnd")
    assert tokens.revoke("backend").name == "backend"
    assert tokens.all() == []


@pytest.mark.parametrize("text", ["127.0.0.1:1", "[::1]:1", "localhost:1", ":1", "8765"])
def test_loopback_needs_nothing(text: str) -> None:
    assert parse_bind_address(text).is_loopback


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.168.1.5:80", "example.com:80"])
def test_an_address_for_others_needs_to_be_meant(text: str) -> None:
    with pytest.raises(ListenRefused, match=r"TLS.*--public"):
        parse_bind_address(text)
    assert not parse_bind_address(text, public=True).is_loopback


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(ListenRefused, match="HOST:PORT"):
        parse_bind_address(text)
