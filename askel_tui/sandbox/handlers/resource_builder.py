"""Building of JSON:API objects: fields as they were asked for, relationships and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.jsonapi.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from askel_tui.sandbox.handlers.context import Context


def reference(kind: str, ident: str) -> dict[str, str]:
    """Builds a resource identifier."""
    return {"type": kind, "id": ident}


def build_resource(
    ctx: Context,
    kind: str,
    path: str,
    ident: str,
    attributes: dict[str, Any],
    relations: Iterable[str] = (),
    related: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Builds an object: attributes cut to the fields that were asked for, relationships, links."""
    home = f"{ctx.base_url}/api/{path}/{ident}"
    wanted = ctx.query.fields.get(kind)
    added = ctx.query.additional_fields.get(kind, frozenset())  # as recorded: shown with any sparse fields
    made: dict[str, Any] = {
        "type": kind,
        "id": ident,
        "attributes": attributes if wanted is None else _select_fields(kind, attributes, wanted | added),
    }
    relationships = {}
    for name in relations:
        links = {"self": f"{home}/relationships/{name}/", "related": f"{home}/{name}/"}
        held = {"data": related[name]} if related and name in related else {}
        relationships[name] = {**held, "links": links}
    if relationships:
        made["relationships"] = relationships
    made["links"] = {"self": f"{home}/"}
    return made


def _select_fields(kind: str, attributes: dict[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    cut: dict[str, Any] = {}
    tops = {name.split(".")[0] for name in wanted}
    for top in tops - attributes.keys() - {"id", "subscriptions", "predictive_analytics", "joined_group_at"}:
        raise invalid(f"'{top}' is not a valid field for the resource '{kind}'.", parameter=f"fields[{kind}]")
    for name, value in attributes.items():
        if name in wanted or name not in tops:
            if name in wanted:
                cut[name] = value
            continue
        for path in (one.split(".")[1:] for one in wanted if one.startswith(f"{name}.")):
            _copy_path(value, path, cut.setdefault(name, {}))
    return cut


def _copy_path(source: Any, path: list[str], into: dict[str, Any]) -> None:
    for step in path[:-1]:
        source = source.get(step) if isinstance(source, dict) else None
        into = into.setdefault(step, {})
    if isinstance(source, dict):
        into[path[-1]] = source.get(path[-1])
