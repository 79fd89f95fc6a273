"""Run by an environment with drt-core: the work of (a) through its Klaviyo destination. Knows nothing of Askel.

Arguments: address, key, how (default: its own rate of 10 a second; tuned: the list's 150 a minute), records, the list's
id. Its profile endpoint upserts and adds to the list, its event endpoint tracks. Prints {"done", "lost", "seconds"}.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from drt.config.models import KlaviyoDestinationConfig, SyncOptions
from drt.destinations import klaviyo

TUNED = {"profile": 2.4, "event": 55}
"""Rows a second: what the list's 150 calls a minute and the events' 3,500 let through."""


def load(rows: list[dict[str, Any]], how: str, **config: Any) -> int:
    """How many rows arrived."""
    options = SyncOptions()
    if how == "tuned":
        rate = TUNED[config.get("endpoint", "profile")]
        options = SyncOptions(rate_limit={"requests_per_second": rate})
    destination = KlaviyoDestinationConfig(type="klaviyo", email_field="email", **config)
    return int(klaviyo.KlaviyoDestination().load(rows, destination, options).success)


def main(url: str, key: str, how: str, records: str, list_id: str) -> None:
    klaviyo._BASE = f"{url}/api"
    count = int(records)
    people = [
        {"email": f"b{number}@bench.example", "LoyaltyTier": "Gold", "LoyaltyPoints": number}
        for number in range(count)
    ]
    events = [
        {
            "email": f"b{number}@bench.example",
            "Points": number,
            "at": "2026-11-23T09:00:00+00:00",
            "id": f"b-{number}",
            "worth": number,
        }
        for number in range(count)
    ]
    began = time.perf_counter()
    on_list = load(people, how, api_key=key, list_id=list_id)
    tracked = load(
        events, how, api_key=key, endpoint="event", metric_name="First Points Earned",
        time_field="at", unique_id_field="id", value_field="worth",
    )  # fmt: skip
    seconds = time.perf_counter() - began
    done = min(on_list, tracked)
    print(json.dumps({"done": done, "lost": 2 * count - on_list - tracked, "seconds": seconds}))


main(*sys.argv[1:])
