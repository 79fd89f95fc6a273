"""Builds `tests/data/klaviyo/openapi/`: what the tests need of Klaviyo's OpenAPI files, in under a megabyte.

Usage: python -m tests.support.openapi_extract [TARGET]. Reads the files in `klaviyo_dir()`. An extract keeps the
operations that the package's contract data has, with their parameters, bodies and answers, and every schema that
those name. Words that say nothing about what is valid (descriptions, examples, titles) are left out. One operation
or schema a line, sorted: a new revision is a readable diff.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from askel_tui.contract.endpoints import REVISIONS, endpoints
from tests.support.files import OPENAPI_EXTRACT, klaviyo_dir

_OF_OPERATIONS = ("parameters", "requestBody", "responses", "x-klaviyo-ratelimit")
_SILENT = frozenset(
    {"description", "example", "examples", "title", "summary", "tags", "operationId", "security"}
)


def extract(document: dict[str, Any], revision: str) -> dict[str, Any]:
    """The extract of an OpenAPI document."""
    wanted = {(at.path, at.method.lower()) for at in endpoints(revision).values()}
    paths = {
        path: {
            method: _operation(found) for method, found in sorted(methods.items()) if (path, method) in wanted
        }
        for path, methods in document["paths"].items()
    }
    paths = {path: methods for path, methods in sorted(paths.items()) if methods}
    components = document["components"]
    kept: dict[str, dict[str, Any]] = {"responses": {}, "schemas": {}}
    queue = list(_references(paths))
    while queue:
        kind, name = queue.pop()
        if kind in kept and name not in kept[kind]:
            kept[kind][name] = _plain(components[kind][name])
            queue += _references(kept[kind][name])
    return {"paths": paths, "components": {kind: dict(sorted(found.items())) for kind, found in kept.items()}}


def _operation(found: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain({key: found[key] for key in _OF_OPERATIONS if key in found})
    return plain


def _plain(value: Any, *, names: bool = False) -> Any:
    """A value without silent words; `names` says that its keys are properties' names."""
    if isinstance(value, dict):
        return {
            key: _plain(part, names=key == "properties" and not names)
            for key, part in value.items()
            if names or key not in _SILENT
        }
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of each component that a value refers to."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            kind, name = reference.rsplit("/", 2)[1:]
            yield kind, name
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def text_of(extracted: dict[str, Any]) -> str:
    """The extract as JSON, one operation or schema a line."""

    def lines(part: dict[str, Any]) -> str:
        return ",\n".join(f"{json.dumps(key)}:{_compact(value)}" for key, value in part.items())

    paths = lines(extracted["paths"])
    components = ",\n".join(
        f'"{kind}":{{\n{lines(found)}\n}}' for kind, found in extracted["components"].items()
    )
    return f'{{"paths":{{\n{paths}\n}},\n"components":{{\n{components}\n}}}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write(target: Path) -> None:
    """Writes the extract of every revision into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for revision in REVISIONS:
        source = klaviyo_dir() / f"openapi-{revision}.json"
        extracted = extract(json.loads(source.read_text(encoding="utf-8")), revision)
        (target / f"openapi-{revision}.json").write_text(text_of(extracted), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else OPENAPI_EXTRACT)
