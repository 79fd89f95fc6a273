"""Where live answers differ from the specification (docs/klaviyo.md 1.2, and the recordings).

Answers are checked against schemas amended by these functions, so that both the recordings and a sandbox that
behaves like the real API are valid.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "nullable": True}
_FREE: Schema = {"type": "object"}


def as_live(schema: Schema) -> Schema:
    """An object's schema with what live answers add or leave out."""
    properties = dict(schema["properties"])
    required = set(schema.get("required", ()))
    if {"email", "external_id", "created"} <= properties.keys():
        properties |= {"anonymous_id": _TEXT, "whatsapp_bsuid": _TEXT}
    if {"lists", "push-tokens"} <= properties.keys():
        properties |= {"conversation": _FREE, "conversations": _FREE}
    if properties.keys() == {"type", "id", "links"}:
        properties["attributes"] = {"type": "object", "maxProperties": 0}
    if "open_tracking" in properties:
        properties["click_tracking"] = _FREE
    if "preferred_currency" in properties:
        properties["locale"] = _TEXT
        required.discard("locale")
    if "address2" in properties:
        properties["address2"] = _TEXT
    if "next" in properties:
        properties |= {name: {**_TEXT} for name in ("next", "prev", "first", "last") if name in properties}
    if {"id", "code", "title", "detail"} <= properties.keys():
        properties |= {"status": {"type": "integer"}, "links": _FREE, "meta": _FREE}
    if properties.get("links", {}).get("$ref", "").endswith("/RelationshipLinks"):
        required.discard("data")
    return {**schema, "properties": properties, "required": sorted(required)}


def as_sparse(schema: Schema) -> Schema:
    """As `as_live`, for sparse fieldsets, which drop attributes and relationships (docs/klaviyo.md 7)."""
    amended = as_live(schema)
    kept = {"type", "id", "data", "errors"} & set(amended["required"])
    return {**amended, "required": sorted(kept)}


def with_links(schema: Schema) -> Schema:
    """A whole answer's schema: every live answer with a body has `links` at the top (docs/klaviyo.md 1.2)."""
    properties = dict(schema.get("properties", {}))
    names = ("self", "next", "prev", "first", "last")
    links = {"type": "object", "properties": {name: {**_TEXT} for name in names}}
    properties["links"] = links
    return {**schema, "properties": properties}
