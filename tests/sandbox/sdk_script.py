"""Run by the interpreter of an environment that has Klaviyo's own SDK: reads and writes through it, prints JSON.

Arguments: the sandbox's address and key. Knows the versions of `test_sdk.py` and nothing of Askel.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

from klaviyo_api import KlaviyoAPI


class Plain:
    """An API of the SDK whose answers, objects since 18.0.0 that the SDK has validated, are plain JSON."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)

        def plain(*given: Any, **named: Any) -> Any:
            answer = call(*given, **named)
            return answer.to_dict() if hasattr(answer, "to_dict") else answer

        return plain


def main(url: str, key: str) -> None:
    old = version("klaviyo-api") == "7.0.0"
    klaviyo = KlaviyoAPI(key, max_delay=10, max_retries=3, test_host=url)
    profiles, lists, segments = Plain(klaviyo.Profiles), Plain(klaviyo.Lists), Plain(klaviyo.Segments)
    events, metrics, flows = Plain(klaviyo.Events), Plain(klaviyo.Metrics), Plain(klaviyo.Flows)
    message: dict[str, Any] = {}
    message["account"] = Plain(klaviyo.Accounts).get_accounts()["data"][0]["id"]

    def person(email: str, **more: Any) -> Any:
        attributes = {"email": email, **more}
        return profiles.create_or_update_profile({"data": {"type": "profile", "attributes": attributes}})[
            "data"
        ]

    made = person("sdk@shop.example", first_name="Ada", properties={"LoyaltyTier": "Gold"})
    again = person("sdk@shop.example", properties={"Points": 5})
    message["same"] = made["id"] == again["id"]
    message["properties"] = again["attributes"]["properties"]
    found = profiles.get_profiles(filter='equals(email,"sdk@shop.example")', page_size=1)["data"]
    message["found"] = [one["id"] for one in found] == [made["id"]]
    patch = {"data": {"type": "profile", "id": made["id"], "attributes": {"last_name": "Lovelace"}}}
    message["patched"] = profiles.update_profile(made["id"], patch)["data"]["attributes"]["last_name"]

    message["lists"], cursor, message["pages"] = [], None, 0
    while True:
        page = lists.get_lists(page_cursor=cursor) if cursor else lists.get_lists()
        message["lists"] += [one["attributes"]["name"] for one in page["data"]]
        message["pages"] += 1
        if not page["links"].get("next"):
            break
        cursor = page["links"]["next"]
    fresh = lists.create_list({"data": {"type": "list", "attributes": {"name": "From the SDK"}}})["data"][
        "id"
    ]
    members = {"data": [{"type": "profile", "id": made["id"]}]}
    (lists.create_list_relationships if old else lists.add_profiles_to_list)(fresh, members)
    of_list = (lists.get_list_profiles if old else lists.get_profiles_for_list)(fresh)
    message["members"] = [one["attributes"]["email"] for one in of_list["data"]]

    of_segment = segments.get_segment_profiles if old else segments.get_profiles_for_segment
    message["vips"] = [one["attributes"]["email"] for one in of_segment("MeVip1")["data"]]
    message["segments"] = len(segments.get_segments()["data"])

    metric = {"data": {"type": "metric", "attributes": {"name": "SDK Event"}}}
    who = {"data": {"type": "profile", "attributes": {"email": "sdk@shop.example"}}}
    for number in range(3):
        attributes = {
            "properties": {"n": number},
            "metric": metric,
            "profile": who,
            "unique_id": str(number % 2),
        }
        attributes |= {"time": "2026-11-20T10:00:00+00:00", "value": 1.5, "value_currency": "GBP"}
        events.create_event({"data": {"type": "event", "attributes": attributes}})
    if not old:
        one = {"type": "event", "attributes": {"properties": {}, "metric": metric, "unique_id": "bulk"}}
        attributes = {"profile": who, "events": {"data": [one]}}
        rows = {"data": [{"type": "event-bulk-create", "attributes": attributes}]}
        bulk = {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": rows}}
        events.bulk_create_events({"data": bulk})
    message["metrics"] = sorted(one["attributes"]["name"] for one in metrics.get_metrics()["data"])
    seen = events.get_events(filter=f'equals(profile_id,"{made["id"]}")', sort="-datetime")["data"]
    message["events"] = len(seen)

    people = [{"type": "profile", "attributes": {"email": f"bulk{n}@shop.example"}} for n in range(3)]
    job: dict[str, Any] = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": people}}}
    job["relationships"] = {"lists": {"data": [{"type": "list", "id": fresh}]}}
    spawn = profiles.spawn_bulk_profile_import_job if old else profiles.bulk_import_profiles
    job_id = spawn({"data": job})["data"]["id"]
    read = profiles.get_bulk_profile_import_job if old else profiles.get_bulk_import_profiles_job
    deadline = time.monotonic() + 20
    while (state := read(job_id)["data"]["attributes"])[
        "status"
    ] != "complete" and time.monotonic() < deadline:
        time.sleep(0.2)
    message["job"] = [state["status"], state["completed_count"], state["failed_count"]]

    consent = {"email": {"marketing": {"consent": "SUBSCRIBED"}}}
    row = {"type": "profile", "attributes": {"email": "sdk@shop.example", "subscriptions": consent}}
    job = {"type": "profile-subscription-bulk-create-job", "attributes": {"profiles": {"data": [row]}}}
    job["relationships"] = {"list": {"data": {"type": "list", "id": "MeNews"}}}
    (profiles.subscribe_profiles if old else profiles.bulk_subscribe_profiles)({"data": job})
    one = profiles.get_profile(made["id"], additional_fields_profile=["subscriptions"])["data"]
    message["consent"] = one["attributes"]["subscriptions"]["email"]["marketing"]["consent"]
    message["flows"] = sorted(flow["attributes"]["name"] for flow in flows.get_flows()["data"])
    try:
        profiles.get_profile("NOPE01")
    except Exception as error:
        message["missing"] = getattr(error, "status", None)
    print(json.dumps(message))


main(*sys.argv[1:])
