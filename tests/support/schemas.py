"""Klaviyo's OpenAPI schemas as closed JSON Schemas with compiled validators.

Closed: an object that lists its properties allows no others; objects that list none stay free. Parts joined
by `allOf` are merged before they are closed, so that no part refuses another's properties.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker

from tests.support.files import OPENAPI_EXTRACT, klaviyo_dir

Schema = dict[str, Any]

# Words that say nothing about what is valid.
_SILENT = frozenset({"description", "example", "title", "default", "nullable", "readOnly", "writeOnly"})
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or (_is_read(datetime, value) and bool(_DATE_TIME.fullmatch(value)))


def _is_date(value: object) -> bool:
    return not isinstance(value, str) or _is_read(date, value)


def _is_read(kind: type[date], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


_CHECKS: dict[str, Callable[[object], bool]] = {"date-time": _is_date_time, "date": _is_date}
_FORMATS = FormatChecker(formats=())
for _name, _check in _CHECKS.items():
    _FORMATS.checks(_name)(_check)


@cache
def specification(revision: str) -> Schema:
    """What the tests need of the OpenAPI document of a revision; no descriptions."""
    return _read(OPENAPI_EXTRACT / f"openapi-{revision}.json")


def published(revision: str) -> Schema:
    """The OpenAPI document of a revision, as it was published; for tests that need Klaviyo's files."""
    return _read(klaviyo_dir() / f"openapi-{revision}.json")


def _read(file: Path) -> Schema:
    document: Schema = json.loads(file.read_text(encoding="utf-8"))
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


class Validator:
    """A compiled schema. A fast validator decides; `jsonschema` then puts into words what is wrong."""

    def __init__(self, schema: Schema) -> None:
        self._fast = jsonschema_rs.Draft202012Validator(schema, formats=_CHECKS, validate_formats=True)
        self._wordy = Draft202012Validator(schema, format_checker=_FORMATS)

    def problems(self, value: object) -> list[str]:
        """What is wrong with a value, a line each with its JSON pointer, sorted."""
        if self._fast.is_valid(value):
            return []
        return sorted(
            f"/{'/'.join(str(step) for step in error.absolute_path)}: {error.message[:300]}"
            for error in self._wordy.iter_errors(value)
        )


class Closed:
    """Closes the schemas of one revision; `references` holds the named ones, closed when first used.

    `amend` may change an object's schema before it is closed, to follow what live answers do.
    """

    def __init__(self, revision: str, amend: Callable[[Schema], Schema] = lambda schema: schema) -> None:
        self._document = specification(revision)
        self._amend = amend
        self.references: dict[str, Schema] = {}

    def validator(self, schema: Schema) -> Validator:
        """A compiled validator of an OpenAPI schema."""
        closed = self.close(schema)
        return Validator({**closed, "$defs": self.references})

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


def _or_null(closed: Schema, schema: Mapping[str, Any]) -> Schema:
    if not schema.get("nullable"):
        return closed
    if "enum" in closed:
        closed["enum"] = [*closed["enum"], None]
    if isinstance(closed.get("type"), str) and "anyOf" not in closed:
        return {**closed, "type": [closed["type"], "null"]}
    return {"anyOf": [closed, {"type": "null"}]}
