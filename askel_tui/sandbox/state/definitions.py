"""Definitions of segments and filters: whether a profile or an event meets one (docs/klaviyo.md 2.13).

Groups are joined with AND, conditions within a group with OR. Known are conditions on profile properties, on group
membership and on event properties; any other condition is not met.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from askel_tui.sandbox.state.model import Profile

_PROPERTY: Final = re.compile(r"properties\[(?P<quote>['\"])(?P<name>.+)(?P=quote)\]\Z")


def profile_matches(definition: Mapping[str, Any] | None, profile: Profile, lists: Container[str]) -> bool:
    """Checks whether the profile meets a segment's definition or a flow's profile filter; without one: no."""
    groups = (definition or {}).get("condition_groups") or ()
    # Runs for every profile of a segment: written out, this takes a third of the time.
    for group in groups:
        for condition in group.get("conditions", ()):
            if _meets_profile_condition(condition, profile, lists):
                break
        else:
            return False
    return bool(groups)


def event_matches(trigger_filter: Mapping[str, Any] | None, properties: Mapping[str, Any]) -> bool:
    """Checks whether an event's properties pass a flow's trigger filter; without one: yes."""
    if not trigger_filter:
        return True

    def passes(condition: Mapping[str, Any]) -> bool:
        name = condition.get("field") or condition.get("property") or ""
        return _compare(condition.get("filter") or {}, properties.get(_property_name(str(name))))

    groups = trigger_filter.get("condition_groups") or []
    return bool(groups) and all(any(passes(one) for one in group.get("conditions", [])) for group in groups)


def _meets_profile_condition(condition: Mapping[str, Any], profile: Profile, lists: Container[str]) -> bool:
    kind = condition.get("type")
    if kind == "profile-property":
        kept, name = _property_location(str(condition.get("property", "")))
        return _compare(condition.get("filter") or {}, getattr(profile, kept).get(name))
    if kind == "profile-group-membership":
        on = any(ident in profile.lists and ident in lists for ident in condition.get("group_ids", []))
        return on == bool(condition.get("is_member", True))
    return False


@lru_cache(maxsize=1024)
def _property_location(written: str) -> tuple[str, str]:
    """Finds where a profile keeps the property of a condition, and under which name."""
    match = _PROPERTY.match(written)
    if match:
        return "properties", match["name"]
    if written.startswith("location."):
        return "location", written.removeprefix("location.")
    return "attributes", written


def _property_name(written: str) -> str:
    match = _PROPERTY.match(written)
    return match["name"] if match else written


def _compare(test: Mapping[str, Any], value: Any) -> bool:
    operator, wanted = test.get("operator"), test.get("value")
    if operator in ("is-set", "is-not-set"):
        return bool((value is not None) == (operator == "is-set"))
    if operator in ("equals", "not-equals"):
        return bool(_is_equal(value, wanted) == (operator == "equals"))
    if isinstance(value, str) and isinstance(wanted, str):
        texts = {
            "contains": wanted in value,
            "not-contains": wanted not in value,
            "starts-with": value.startswith(wanted),
            "ends-with": value.endswith(wanted),
        }
        return texts.get(str(operator), False)
    if isinstance(value, list) and operator in ("contains", "not-contains"):
        return bool((wanted in value) == (operator == "contains"))
    if _is_number(value) and _is_number(wanted):
        numbers = {
            "greater-than": value > wanted,
            "greater-than-or-equal": value >= wanted,
            "less-than": value < wanted,
            "less-than-or-equal": value <= wanted,
        }
        return bool(numbers.get(str(operator), False))
    return False


def _is_equal(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
