"""Writing of a draft as a workflow file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import yaml

from askel_tui.core.workflows.model import FIRST_RULES
from askel_tui.tui.screens.mapping.draft import LOCATION_PREFIX, PROPERTY_PREFIX, Draft, StepDraft, split_list

if TYPE_CHECKING:
    from askel_tui.core.operations import StepKind


def to_yaml(draft: Draft) -> str:
    """Writes a draft as a workflow file. Loading it gives the draft's content, or the problems of what it lacks."""
    triggers: Any = list(draft.triggers) if len(draft.triggers) != 1 else draft.triggers[0]
    whole: dict[str, Any] = {
        "askel": draft.rules if draft.rules != FIRST_RULES else None,
        "workflow": draft.name,
        "connection": draft.connection,
        "trigger": triggers or None,
        "when": draft.when,
        "profile": {name: _identifier(draft, name) for name, text in draft.profile.items() if text} or None,
        "on_shared_phone": draft.shared_phone,
        "steps": [{"id": step.id, step.kind: _action(step)} for step in draft.steps],
    }
    given = {name: value for name, value in whole.items() if value or name == "steps"}
    text: str = yaml.dump(
        given, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4_096, default_flow_style=False
    )
    return text


def _identifier(draft: Draft, name: str) -> Any:
    text = draft.profile[name]
    return {"value": text, "if_bad": "leave_out"} if name in draft.dispensable else text


class _Dumper(yaml.SafeDumper):
    """A YAML writer that writes line breaks as escapes: in plain text they would come back as spaces."""


def _scalar(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(each in text for each in "\r\n\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _scalar)


def _action(step: StepDraft) -> Any:
    given: dict[str, Any] = {
        name: {"name": text} if name in step.literals else text for name, text in step.fields.items() if text
    }
    match cast("StepKind", step.kind):
        case "add_to_list" | "remove_from_list":
            return given.get("list", "")
        case "trigger_flow" if set(given) == {"flow"} and "flow" not in step.literals:
            return given["flow"]
        case "upsert_profile" | "track_event":
            return _nested(step, given)
    plain: dict[str, Any] = dict(given)
    if "channels" in plain:
        plain["channels"] = split_list(given["channels"])
    for name in ("member", "historical", "everywhere", "resubscribe", "refuse"):
        if plain.get(name) in ("true", "false"):
            plain[name] = plain[name] == "true"
    for name in ("resubscribe", "refuse"):
        if plain.get(name) is False:
            del plain[name]
    return plain


def _nested(step: StepDraft, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in given.items():
        value: Any = {"value": text, "clear": step.clears[name]} if name in step.clears else text
        for group in (PROPERTY_PREFIX, LOCATION_PREFIX):
            if name.startswith(group):
                found.setdefault(group[:-1], {})[name.removeprefix(group)] = value
                break
        else:
            found[name] = value
    return found
