"""Whatever comes in, the answer is one of ours and never a 500."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.http_api import RunningApi
from tests.support.workbench import NAME

HERE = f"/v1/connections/{NAME}"
SECRET = "a-long-random-text-0123456789"
ENDPOINTS = [
    ("POST", f"{HERE}/records"),
    ("POST", f"{HERE}/cloudevents"),
    ("POST", f"{HERE}/profiles"),
    ("POST", f"{HERE}/events"),
    ("POST", f"{HERE}/lists/Newsletter/members"),
    ("DELETE", f"{HERE}/lists/Newsletter/members"),
    ("POST", f"{HERE}/flows/Welcome Series/fire"),
    ("PUT", f"{HERE}/webhooks/shop"),
    ("POST", f"{HERE}/webhooks/shop"),
    ("POST", f"{HERE}/webhooks/signed"),
    ("POST", f"{HERE}/workflows/tested/activate"),
    *(("POST", f"/v1/{kind}") for kind in ("track", "identify", "batch", "group")),
]
MEDIA = [
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
    "",
]
WORDS = [
    "id",
    "event",
    "time",
    "data",
    "batch",
    "type",
    "specversion",
    "source",
    "profile",
    "email",
    "metric",
    "value",
]
texts = st.text(max_size=12) | st.sampled_from(
    ["1.0", "track", "2026-11-23T09:14:05Z", "a@x.example", "\0", "+447911123456"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | texts, inner, max_size=5)
    ),
    max_leaves=20,
)
bodies = st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode())
ALLOWED = {200, 202, 400, 401, 403, 404, 409, 413, 415, 422}


async def test_no_body_makes_an_error_that_is_not_ours(quiet: RunningApi) -> None:
    loop = asyncio.get_running_loop()
    params = {"wait": "false"}
    hook = {"secret": SECRET, "event_from": "data.event", "id_from": "data.id", "time_from": "data.data.time"}
    assert (await quiet.http.put(f"{HERE}/webhooks/signed", json=hook)).status_code == 200

    @examples(250)
    @given(
        endpoint=st.sampled_from(ENDPOINTS),
        media=st.sampled_from(MEDIA),
        body=bodies,
        packed=st.sampled_from([None, None, "gzip"]),
        key=st.sampled_from([None, None, "one", "two", "no key"]),
    )
    def ask(endpoint: tuple[str, str], media: str, body: bytes, packed: str | None, key: str | None) -> None:
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        given = {
            "Content-Type": media,
            "Content-Encoding": packed,
            "Idempotency-Key": key,
            "X-Signature": signature,
        }
        headers = {name: value for name, value in given.items() if value}

        async def send() -> Any:
            return await quiet.http.request(
                endpoint[0], endpoint[1], content=body, headers=headers, params=params
            )

        answer = asyncio.run_coroutine_threadsafe(send(), loop).result(30)
        assert answer.status_code in ALLOWED, answer.text
        if answer.status_code >= 400:
            assert answer.json()["error"]["request"] == answer.headers["x-request-id"]

    await asyncio.to_thread(ask)
