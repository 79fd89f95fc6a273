"""Signed webhooks: each scheme's signatures, made here from their descriptions, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.api.shared.webhook_settings import WebhookSettings
from askel_tui.api.shared.webhook_signatures import SignatureRefused, check_signature
from tests.support.http_api import RunningApi
from tests.support.workbench import NAME

pytestmark = pytest.mark.clock

HOOK = f"/v1/connections/{NAME}/webhooks/shop"
SECRET = "a-long-random-text-0123456789"
BODY = {"order": {"id": "O-1", "at": "2026-11-23T09:14:05Z"}, "kind": "order_paid"}
RAW = json.dumps(BODY).encode()


def signed(scheme: str, body: bytes = RAW, *, at: int = 1_000, secret: str = SECRET) -> dict[str, str]:
    """The headers of a good signature."""
    plain = hmac.new(secret.encode(), body, hashlib.sha256)
    match scheme:
        case "hex":
            return {"x-signature": f"sha256={plain.hexdigest()}"}
        case "base64":
            return {"x-signature": "sha256=" + base64.b64encode(plain.digest()).decode()}
        case "stripe":
            made = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
            return {"x-signature": f"t={at},v1={'0' * 64},v1={made},v0=x"}
    made_bytes = hmac.new(secret.encode(), b"msg_1.%d." % at + body, hashlib.sha256).digest()
    signature = f"v1a,zzz v1,{base64.b64encode(made_bytes).decode()}"
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}


SCHEMES = ("hex", "base64", "stripe", "standard")


def settings(scheme: str, **more: Any) -> WebhookSettings:
    prefix = "sha256=" if scheme in ("hex", "base64") else ""
    return WebhookSettings(scheme=scheme, prefix=prefix, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_good_signature_is_taken_and_every_other_is_not(scheme: str) -> None:
    check_signature(settings(scheme), SECRET, signed(scheme), RAW, 1_000)
    hex512 = settings(scheme, algorithm="sha512", header="X-Other")
    for how, secret, headers, body in (
        (settings(scheme), SECRET, signed(scheme), RAW + b" "),
        (settings(scheme), SECRET + "x", signed(scheme), RAW),
        (settings(scheme), SECRET, {}, RAW),
        (hex512, SECRET, {"x-other": ""}, RAW),
    ):
        with pytest.raises(SignatureRefused):
            check_signature(how, secret, headers, body, 1_000)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signature_is_compared_in_constant_time(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bool] = []
    compare = hmac.compare_digest

    def watched(first: bytes, second: bytes) -> bool:
        compared.append(compare(first, second))
        return compared[-1]

    monkeypatch.setattr("hmac.compare_digest", watched)
    check_signature(settings(scheme), SECRET, signed(scheme), RAW, 1_000)
    assert any(compared)
    compared.clear()
    with pytest.raises(SignatureRefused):
        check_signature(settings(scheme), SECRET, signed(scheme, b"other"), RAW, 1_000)
    assert compared
    assert not any(compared)


@pytest.mark.parametrize("scheme", ["stripe", "standard"])
def test_an_old_signature_is_not_taken(scheme: str) -> None:
    check_signature(settings(scheme, tolerance_s=60), SECRET, signed(scheme, at=1_000), RAW, 1_060)
    for now in (1_061, 939):
        with pytest.raises(SignatureRefused, match="away from now"):
            check_signature(settings(scheme, tolerance_s=60), SECRET, signed(scheme, at=1_000), RAW, now)


@given(scheme=st.sampled_from(SCHEMES), header=st.text(max_size=40), body=st.binary(max_size=40))
def test_no_header_makes_it_raise_anything_else(scheme: str, header: str, body: bytes) -> None:
    names = ("x-signature", "webhook-id", "webhook-timestamp", "webhook-signature")
    with pytest.raises(SignatureRefused):
        check_signature(settings(scheme), SECRET, dict.fromkeys(names, header), body, 1_000)


async def set_up(api: RunningApi, **more: Any) -> None:
    body = {"secret": SECRET, "prefix": "sha256=", **more}
    answer = await api.http.put(HOOK, json=body)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text


async def send(api: RunningApi, body: bytes = RAW, *, signature: str | None = None) -> Any:
    api.http.headers.pop("authorization", None)
    signed_with = signature or signed("hex", body)["x-signature"]
    sent = {"X-Signature": signed_with, "Content-Type": "application/json"}
    return await api.http.post(HOOK, content=body, headers=sent)


async def test_a_signed_webhook_is_a_record_and_again_the_same_one(quiet: RunningApi) -> None:
    await set_up(quiet, event_from="data.kind", id_from="data.order.id", time_from="data.order.at")
    admin = quiet.http.headers["authorization"]
    assert (await send(quiet)).status_code == 202
    assert (await send(quiet)).json()["records"][0]["fate"] == "same"
    (record,) = (each.record for each in await quiet.stored())
    assert (record.id, record.event, record.time) == ("O-1", "order_paid", "2026-11-23T09:14:05Z")
    assert record.data == BODY
    assert record.actor == "webhook:shop"
    listed = await quiet.http.get(HOOK.rsplit("/", 1)[0], headers={"Authorization": admin})
    assert listed.json()["webhooks"]["shop"]["id_from"] == "data.order.id"
    assert SECRET not in listed.text
    assert SECRET not in (quiet.bench.instance.home / "state.json").read_text()
    audited = {entry.kind for entry in await quiet.audited()}
    assert "webhook_set" in audited


async def test_without_a_mapping_the_body_is_a_record_known_by_its_bytes(quiet: RunningApi) -> None:
    await set_up(quiet, event="order_paid")
    first, again = await send(quiet), await send(quiet)
    other = await send(quiet, b'{"n": 2}')
    assert [each.json()["records"][0]["fate"] for each in (first, again, other)] == ["new", "same", "new"]


async def test_a_wrong_signature_and_an_unknown_hook_are_answered_alike(quiet: RunningApi) -> None:
    await set_up(quiet, event="order_paid")
    wrong = await send(quiet, signature="sha256=" + "0" * 64)
    missing = await quiet.http.post(HOOK.replace("shop", "shopp"), content=RAW)
    elsewhere = await quiet.http.post(HOOK.replace(NAME, "other"), content=RAW)
    assert [each.status_code for each in (wrong, missing, elsewhere)] == [401, 401, 401]
    assert await quiet.stored() == []
    unusable = await send(quiet, b"[1]")
    assert unusable.status_code == 422


async def test_a_hook_is_gone_with_its_secret_once_it_is_taken_away(quiet: RunningApi) -> None:
    await set_up(quiet, event="order_paid")
    assert (await quiet.http.delete(HOOK)).status_code == 204
    assert (await quiet.http.delete(HOOK)).status_code == 404
    assert (await send(quiet)).status_code == 401
    assert quiet.bench.instance.secrets().get(f"webhook:{NAME}/shop") is None


UNUSABLE: list[dict[str, Any]] = [
    {"secret": "short"},
    {},
    {"secret": SECRET, "event_from": "kind"},
    {"secret": SECRET, "header": "X Y"},
    {"secret": SECRET, "scheme": "md5"},
]


async def test_a_setup_that_can_not_work_is_refused(quiet: RunningApi) -> None:
    for body in UNUSABLE:
        answer = await quiet.http.put(HOOK, json=body)
        assert answer.status_code == 422, body
        assert SECRET not in answer.text
    only_sender = await quiet.http.put(HOOK, json={"secret": SECRET}, headers=quiet.token("x", "send"))
    assert only_sender.status_code == 403
