"""An account whose id the key may not read is known by its key: another key, and it is another account to us."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from askel_tui.services import connections
from tests.support.bad_days import brisk, change, engine, rotate, settled, until
from tests.support.workbench import ACTOR, NAME, Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

MANY_RECORDS = 60
WORKFLOW = """\
workflow: told
connection: maple-ember
trigger: earned
profile: {email: data.email}
steps:
  - id: told
    track_event: {metric: Points, properties: {Points: data.points}}
"""


def _key(bench: Workbench, word: str) -> str:
    scopes = ["profiles:read", "profiles:write", "events:read", "events:write", "metrics:read", "lists:read"]
    made = change(bench, "POST", "keys", key=f"pk_sandbox_{word}", scopes=[*scopes, "lists:write"])
    return str(made["key"])


@pytest.mark.parametrize("answers_s", [0.0, 0.5])
async def test_after_a_rotation_each_event_is_sent_once(bench: Workbench, answers_s: float) -> None:
    bench.assert_valid_requests()
    await connections.disconnect(bench.instance, NAME, ACTOR)
    document, _ = await connections.connect(bench.instance, NAME, _key(bench, "first"), ACTOR)
    assert document.account is None
    bench.requests_since = bench.sandbox.world.logged_count
    await bench.apply(WORKFLOW)
    records = [
        {"id": f"r-{n}", "event": "earned", "data": {"email": f"p{n}@shop.example", "points": n}}
        for n in range(MANY_RECORDS)
    ]
    await bench.take(records[: MANY_RECORDS // 3])
    if answers_s:
        bench.fault("create_event", delay=answers_s)

    async def begun() -> bool:
        return bool(bench.requests("create_event"))

    async def done() -> bool:
        return (await settled(bench))["told written"] + (await settled(bench))[
            "told unconfirmed"
        ] == MANY_RECORDS

    async with engine(bench) as running:
        await until(bench, begun)
        await bench.take(records[MANY_RECORDS // 3 : 2 * MANY_RECORDS // 3])
        await rotate(bench, _key(bench, "second"))
        await bench.take(records[2 * MANY_RECORDS // 3 :])
        await until(bench, done)
        assert len(running._dispatchers) == 1
    bodies = [json.dumps(call["body"], sort_keys=True) for call in bench.requests("create_event")]
    # Connecting asks with an event that is none.
    sent = Counter(body for body in bodies if "unique_id" in body)
    assert len(sent) == MANY_RECORDS
    assert set(sent.values()) == {1}
