"""Klaviyo's OpenAPI schemas as closed JSON Schemas with compiled validators.

Closed: an object that lists its properties allows no others; objects that list none stay free. Parts joined
by `allOf` are merged before they are closed, so that no part refuses another's properties.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.support.shared import klaviyo_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Schema = dict[str, Any]

# Words that say nothing about what is valid.
_SILENT = frozenset({"description", "example", "title", "default", "nullable", "readOnly", "writeOnly"})
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    datetime.fromisoformat(value)
    return _DATE_TIME.fullmatch(value) is not None


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    if isinstance(value, str):
        date.fromisoformat(value)
    return True


@cache
def specification(revision: str) -> Schema:
    """The OpenAPI document of a revision, as it was published."""
    text = (klaviyo_dir() / f"openapi-{revision}.json").read_text(encoding="utf-8")
    document: Schema = json.loads(text)
    return document


def operation(revision: str, path: str, method: str) -> Schema | None:
    """The OpenAPI operation, or None where the trimmed document does not hold it."""
    found: Schema | None = specification(revision)["paths"].get(path, {}).get(method.lower())
    return found


def content(part: Mapping[str, Any]) -> Schema | None:
    """The schema of the body of a request or response; None for an empty one."""
    for media in part.get("content", {}).values():
        schema: Schema = media["schema"]
        return schema
    return None


class Closed:
    """Closes the schemas of one revision; `references` holds the named ones, closed when first used.

    `amend` may change an object's schema before it is closed, to follow what live answers do.
    """

    def __init__(self, revision: str, amend: Callable[[Schema], Schema] = lambda schema: schema) -> None:
        self._document = specification(revision)
        self._amend = amend
        self.references: dict[str, Schema] = {}

    def validator(self, schema: Schema) -> Draft202012Validator:
        """A compiled validator of an OpenAPI schema."""
        closed = self.close(schema)
        whole = {**closed, "$defs": self.references}
        return Draft202012Validator(whole, format_checker=_FORMATS)

    def close(self, schema: Schema) -> Schema:
        """The closed JSON Schema of an OpenAPI schema."""
        if "$ref" in schema:
            return _or_null(self._reference(schema["$ref"]), schema)
        if "allOf" in schema:
            return self.close(self._merged(schema))
        amended = self._amend(schema) if schema.get("properties") else schema
        closed: Schema = {key: value for key, value in amended.items() if key not in _SILENT}
        choices = closed.pop("oneOf", None) or closed.pop("anyOf", None)
        if choices:
            # any of: integer and number overlap in Klaviyo's choices, which would break "exactly one"
            closed["anyOf"] = [self.close(choice) for choice in choices]
        if "items" in closed:
            closed["items"] = self.close(closed["items"])
        if closed.get("properties"):
            closed["properties"] = {name: self.close(part) for name, part in closed["properties"].items()}
            closed.setdefault("type", "object")
            closed.setdefault("additionalProperties", False)
        return _or_null(closed, schema)

    def _reference(self, reference: str) -> Schema:
        name = reference.rsplit("/", 1)[1]
        if name not in self.references:
            self.references[name] = {}  # first, for schemas that hold themselves
            self.references[name] = self.close(self._document["components"]["schemas"][name])
        return {"$ref": f"#/$defs/{name}"}

    def _merged(self, schema: Schema) -> Schema:
        merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            self._merge(merged, self._resolved(part))
        return merged

    def _resolved(self, schema: Schema) -> Schema:
        if "$ref" in schema:
            return self._resolved(self._document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
        return self._merged(schema) if "allOf" in schema else schema

    def _merge(self, target: Schema, part: Mapping[str, Any]) -> None:
        for key, value in part.items():
            if key == "required" and isinstance(value, list):
                target[key] = sorted({*target.get(key, ()), *value})
            elif key in target and isinstance(target[key], dict) and isinstance(value, dict):
                target[key] = dict(self._resolved(target[key]))
                self._merge(target[key], self._resolved(value))
            else:
                target.setdefault(key, value)


def errors(validator: Draft202012Validator, value: object) -> Iterator[str]:
    """What is wrong with a value, a line each with its JSON pointer."""
    for error in validator.iter_errors(value):
        yield f"/{'/'.join(str(step) for step in error.absolute_path)}: {error.message[:300]}"


def _or_null(closed: Schema, schema: Mapping[str, Any]) -> Schema:
    if not schema.get("nullable"):
        return closed
    if "enum" in closed:
        closed["enum"] = [*closed["enum"], None]
    if isinstance(closed.get("type"), str) and "anyOf" not in closed:
        return {**closed, "type": [closed["type"], "null"]}
    return {"anyOf": [closed, {"type": "null"}]}
