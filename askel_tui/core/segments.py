"""Segments: what a segment's definition reads of a profile, and so which writes may change its members. Pure.

Names of what is written are those of the dry run's changes: `first_name`, `location.city`, `properties.Tier`,
`list ID`, `metric ID`, `consent email`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_PROPERTY = re.compile(r"properties\[(?P<quote>['\"])(?P<name>.+)(?P=quote)\]\Z", re.DOTALL)
_MET_BY_PRESENCE = frozenset(
    {
        "is-set",
        "equals",
        "contains",
        "starts-with",
        "ends-with",
        "greater-than",
        "greater-than-or-equal",
        "less-than",
        "less-than-or-equal",
    }
)
"""The operators that no absent value meets."""


@dataclass(frozen=True, slots=True)
class SegmentReads:
    """The names that a definition reads, and whether a profile without any values may be a member."""

    names: frozenset[str]
    prefixes: tuple[str, ...] = ()
    """The beginnings of names where a condition reads more than one."""
    admits_blank: bool = False

    def find_read(self, written: Iterable[str]) -> str | None:
        """Finds the first of the written names that the definition reads."""
        return next((name for name in written if name in self.names or name.startswith(self.prefixes)), None)


def segment_reads(definition: Mapping[str, Any] | None) -> SegmentReads | None:
    """Lists what a definition reads; None where it is not known. A condition of an unknown kind reads everything."""
    if not isinstance(definition, Mapping):
        return None
    names: set[str] = set()
    prefixes: set[str] = set()
    blank = False
    for condition in _conditions(definition):
        match condition.get("type"):
            case "profile-property":
                names.add(written_name(str(condition.get("property", ""))))
                test = condition.get("filter")
                blank |= (test if isinstance(test, Mapping) else {}).get("operator") not in _MET_BY_PRESENCE
            case "profile-group-membership":
                groups = condition.get("group_ids")
                names.update(f"list {each}" for each in (groups if isinstance(groups, list) else ()))
                blank |= condition.get("is_member") is not True
            case "profile-metric":
                names.add(f"metric {condition.get('metric_id')}")
                blank = True
            case "profile-marketing-consent":
                prefixes.add("consent ")
                blank = True
            case _:
                prefixes.add("")
                blank = True
    return SegmentReads(frozenset(names), tuple(sorted(prefixes)), blank)


def _conditions(definition: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    groups = definition.get("condition_groups")
    for group in groups if isinstance(groups, list) else ():
        conditions = group.get("conditions") if isinstance(group, Mapping) else None
        for condition in conditions if isinstance(conditions, list) else ():
            yield condition if isinstance(condition, Mapping) else {}


def written_name(read: str) -> str:
    """Converts the name of what is read of a profile (`properties['Tier']`) to that of what is written."""
    match = _PROPERTY.match(read)
    return f"properties.{match['name']}" if match else read
