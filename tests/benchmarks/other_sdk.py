"""Run by an environment with Klaviyo's own SDK: the work of (a), as its users write it. Knows nothing of Askel.

Arguments: address, key, how (serial, threads or bulk), records, the list's id. Prints {"done": records, "lost": calls}.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from klaviyo_api import KlaviyoAPI

THREADS = 8
ROWS_A_JOB, EVENTS_A_CALL = 10_000, 1_000
METRIC = {"data": {"type": "metric", "attributes": {"name": "First Points Earned"}}}


def profile(number: int) -> dict[str, Any]:
    properties = {"LoyaltyTier": "Gold", "LoyaltyPoints": number}
    attributes = {"email": f"b{number}@bench.example", "first_name": "Ada", "properties": properties}
    return {"type": "profile", "attributes": attributes}


def event(number: int) -> dict[str, Any]:
    return {
        "properties": {"Points": number},
        "metric": METRIC,
        "time": "2026-11-23T09:00:00+00:00",
        "value": number,
        "unique_id": f"b-{number}",
    }


def who(number: int) -> dict[str, Any]:
    return {"data": {"type": "profile", "attributes": {"email": f"b{number}@bench.example"}}}


def one(klaviyo: Any, number: int, list_id: str) -> bool:
    """Upsert, list addition and event of one record; False where a call was given up."""
    try:
        made = klaviyo.Profiles.create_or_update_profile({"data": profile(number)})
        made = made.to_dict() if hasattr(made, "to_dict") else made
        ident = made["data"]["id"]
        klaviyo.Lists.add_profiles_to_list(list_id, {"data": [{"type": "profile", "id": ident}]})
        attributes = event(number) | {"profile": who(number)}
        klaviyo.Events.create_event({"data": {"type": "event", "attributes": attributes}})
    except Exception:
        return False
    return True


def bulk(klaviyo: Any, count: int, list_id: str) -> None:
    """Import jobs with their list, polled to the end, then bulk events."""
    for start in range(0, count, ROWS_A_JOB):
        people = [profile(number) for number in range(start, min(count, start + ROWS_A_JOB))]
        job: dict[str, Any] = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": people}},
        }
        job["relationships"] = {"lists": {"data": [{"type": "list", "id": list_id}]}}
        made = klaviyo.Profiles.bulk_import_profiles({"data": job})
        made = made.to_dict() if hasattr(made, "to_dict") else made
        while True:
            read = klaviyo.Profiles.get_bulk_import_profiles_job(made["data"]["id"])
            read = read.to_dict() if hasattr(read, "to_dict") else read
            if read["data"]["attributes"]["status"] == "complete":
                break
            time.sleep(0.5)
    for start in range(0, count, EVENTS_A_CALL):
        rows = [
            {
                "type": "event-bulk-create",
                "attributes": {
                    "profile": who(number),
                    "events": {"data": [{"type": "event", "attributes": event(number)}]},
                },
            }
            for number in range(start, min(count, start + EVENTS_A_CALL))
        ]
        job = {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": rows}}}
        klaviyo.Events.bulk_create_events({"data": job})


def main(url: str, key: str, how: str, records: str, list_id: str) -> None:
    klaviyo, count = KlaviyoAPI(key, max_delay=60, max_retries=3, test_host=url), int(records)
    began = time.perf_counter()
    if how == "bulk":
        bulk(klaviyo, count, list_id)
        done = [True] * count
    else:
        with ThreadPoolExecutor(THREADS if how == "threads" else 1) as threads:
            done = list(threads.map(lambda number: one(klaviyo, number, list_id), range(count)))
    seconds = time.perf_counter() - began
    print(json.dumps({"done": sum(done), "lost": done.count(False), "seconds": seconds}))


main(*sys.argv[1:])
