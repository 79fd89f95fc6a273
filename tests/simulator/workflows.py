"""The workflows that the simulator knows: plain data for the reference, and files made of it for the engine."""

from __future__ import annotations

import json
from typing import Any, Final

CONNECTION: Final = "shop"
IDENTIFIERS: Final = ("email", "phone_number", "external_id")

Step = dict[str, Any]
"""`id`, what to `do`, and what that needs. Values name fields of the record's data."""


def _upsert(step: str, **properties: str) -> Step:
    return {"id": step, "do": "upsert", "first_name": "name", "properties": properties}


def _event(metric: str) -> Step:
    return {"id": "event", "do": "event", "metric": metric, "properties": {"N": "n"}}


def _on(do: str, name: str) -> Step:
    return {"id": do, "do": do, "list": name}


VERSIONS: Final[dict[str, list[list[Step]]]] = {
    "points": [
        [_upsert("tier", Points="n", Tier="tier"), _on("add", "Welcome"), _event("Points Earned")],
        [_upsert("tier", Score="n", Tier="tier"), _on("add", "Welcome"), _event("Points Earned")],
        [_upsert("tier", Score="n"), _event("Points Earned"), _on("add", "Promotions")],
    ],
    "visit": [[_upsert("seen", Points="n", Visit="n")], [_event("Visited"), _upsert("seen", Visit="n")]],
    "join": [[_on("add", "Promotions")]],
    "leave": [[_on("remove", "Promotions")], [_on("remove", "Promotions"), _event("Left")]],
    "gift": [
        [
            {"id": "gate", "do": "gate", "segment": "VIP", "member": True},
            _upsert("gift", Gift="n"),
            _event("Gift Used"),
        ],
        [
            _event("Gift Used"),
            {"id": "gate", "do": "gate", "segment": "Regulars", "member": False},
            _upsert("gift", Gift="n"),
        ],
    ],
    "news": [[_on("subscribe", "Newsletter")]],
    "quit": [[_on("unsubscribe", "Newsletter")]],
}
"""The versions of each workflow, the first of which is active from the beginning."""

TRIGGERS: Final[dict[str, list[str]]] = {
    "points": ["points"],
    "visit": ["visit", "points"],
    "join": ["join"],
    "leave": ["leave"],
    "gift": ["gift", "visit"],
    "news": ["news"],
    "quit": ["quit"],
}
EVENTS: Final = ("points", "visit", "join", "leave", "gift", "news", "quit")


def identifiers_of(workflow: str) -> tuple[str, ...]:
    """Returns the identifiers that a workflow's profile names; consent is given by e-mail alone."""
    return ("email",) if workflow in ("news", "quit") else IDENTIFIERS


def file_of(workflow: str, version: int) -> str:
    """Writes the file of a version (from 0): JSON is YAML."""
    return json.dumps(
        {
            "workflow": workflow,
            "connection": CONNECTION,
            "trigger": TRIGGERS[workflow],
            "profile": {name: f"data.{name}" for name in identifiers_of(workflow)},
            "steps": [{"id": step["id"], **_body_of(step)} for step in VERSIONS[workflow][version]],
        },
    )


def _body_of(step: Step) -> dict[str, Any]:
    fields = {name: f"data.{field}" for name, field in step.get("properties", {}).items()}
    match step["do"]:
        case "upsert":
            return {"upsert_profile": {"first_name": f"data.{step['first_name']}", "properties": fields}}
        case "event":
            return {"track_event": {"metric": step["metric"], "properties": fields}}
        case "gate":
            return {"require_segment": {"segment": step["segment"], "member": step["member"]}}
        case "add":
            return {"add_to_list": step["list"]}
        case "remove":
            return {"remove_from_list": step["list"]}
        case consent:
            return {consent: {"channels": ["email"], "list": step["list"]}}
