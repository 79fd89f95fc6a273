"""A request's query parameters, checked against what the endpoint takes (docs/klaviyo.md 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from askel_tui.sandbox.jsonapi.errors import Refusal, error_object, invalid
from askel_tui.sandbox.validation import filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.contract.endpoints import Endpoint
    from askel_tui.sandbox.validation.filters import Condition

_DEFAULT_PAGE_SIZE: Final = 100
"""The number of rows of a page where the contract states no default."""
_FIELDS_PARAMETER: Final = re.compile(r"(additional-fields|fields)\[([a-z-]+)\]\Z")


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a request. `fields` and `additional_fields` are by resource type; `page_size` is in rows."""

    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    additional_fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    sort: str = ""
    descending: bool = False
    conditions: tuple[Condition, ...] = ()
    cursor: str | None = None
    page_size: int = 0

    def condition(self, name: str, *operators: str) -> Condition | None:
        """Finds the condition on a field with one of the operators, if there is one."""
        return next((c for c in self.conditions if c.field == name and c.operator in operators), None)


def parse_query(given: Mapping[str, str], endpoint: Endpoint, resource: str) -> Query:
    """Parses the parameters; `resource` is the type that errors name. Raises the 400 with all errors."""
    if not given:
        return Query(page_size=endpoint.page_default or _DEFAULT_PAGE_SIZE)
    wrong: list[dict[str, object]] = []
    fields: dict[str, frozenset[str]] = {}
    additional: dict[str, frozenset[str]] = {}
    known: dict[str, str] = {}
    for name, value in given.items():
        if match := _FIELDS_PARAMETER.match(name):
            words = frozenset(filter(None, value.split(",")))
            if match[1] == "fields":
                fields[match[2]] = words
                continue
            allowed = endpoint.additional_fields.get(name, ())
            wrong += [
                error_object(f"'{word}' is not an allowed value for {name}.", parameter=name)
                for word in sorted(words)
                if word not in allowed
            ]
            additional[match[2]] = words
        elif _accepts(endpoint, name):
            known[name] = value
        else:
            spoken = name.replace("[", "_").replace("]", "")
            detail = f"'{spoken}' is not a valid field for the resource '{resource}'."
            wrong.append(error_object(detail, parameter=name))
    include = tuple(filter(None, known.get("include", "").split(",")))
    wrong += [
        error_object(f"'{word}' is not an allowed include parameter for this resource.", parameter="include")
        for word in include
        if word not in endpoint.include
    ]
    sort = known.get("sort", "")
    if sort and sort not in endpoint.sort:
        wrong.append(error_object(f"'{sort}' is not an allowed sort parameter.", parameter="sort"))
    if wrong:
        raise Refusal(400, wrong)
    return Query(
        fields,
        additional,
        include,
        sort.lstrip("-"),
        sort.startswith("-"),
        tuple(filters.parse_filter(known["filter"], endpoint.filters)) if known.get("filter") else (),
        known.get("page[cursor]") or None,
        _read_page_size(known.get("page[size]"), endpoint),
    )


def _accepts(endpoint: Endpoint, name: str) -> bool:
    return {
        "filter": bool(endpoint.filters),
        "sort": bool(endpoint.sort),
        "include": bool(endpoint.include),
        "page[cursor]": endpoint.cursor,
        "page[size]": endpoint.page_size_allowed,
    }.get(name, False)


def _read_page_size(written: str | None, endpoint: Endpoint) -> int:
    if written is None:
        return endpoint.page_default or _DEFAULT_PAGE_SIZE
    size = int(written) if written.isascii() and written.isdigit() else 0
    if not 1 <= size <= (endpoint.page_max or 0):
        detail = f"Page size must be an integer between 1 and {endpoint.page_max}."
        raise invalid(detail, parameter="page[size]")
    return size
