"""Whether calls and answers fit Klaviyo's own specification, with every object closed.

A request must also fit the revisions that serve its own once that is retired (docs/klaviyo.md 0.3). But one: to
unsubscribe takes no `subscriptions` at 2024-02-15 and needs them at 2025-01-15; they are checked there.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from askel_tui.contract.endpoints import Endpoint, endpoint, endpoints
from askel_tui.contract.revisions import binding_revisions
from tests.support.live import as_live, as_sparse, with_links
from tests.support.prose import prose_problems
from tests.support.queries import query_problems
from tests.support.schemas import Closed, Validator, content, operation, specification

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = Any
"""A decoded JSON document; None for an empty body."""


class ContractViolation(AssertionError):
    """A call or an answer that Klaviyo's specification does not allow; the message lists every problem."""

    def __init__(self, what: str, problems: list[str]) -> None:
        super().__init__(f"{what}: {len(problems)} problem(s)\n" + "\n".join(problems[:20]))
        self.problems = problems


def validate_call(
    revision: str, method: str, path: str, query: Mapping[str, str], body: Body | bytes
) -> Endpoint:
    """Checks a whole call as it went over the wire and returns its endpoint.

    `path` is the concrete one, with or without a trailing slash; `query` is decoded, a value per name; a body
    of bytes is decoded. Raises `ContractViolation`.
    """
    found = recognise(revision, method, path)
    if found is None:
        raise ContractViolation(f"{method} {path} at {revision}", ["no endpoint of this revision"])
    name, _ = found
    problems = query_problems(revision, name, query)
    try:
        value = json.loads(body) if isinstance(body, bytes) and body else body or None
    except ValueError as problem:
        raise ContractViolation(f"{method} {path} at {revision}", [f"not JSON: {problem}"]) from None
    problems += request_problems(revision, name, path, value)
    if problems:
        raise ContractViolation(f"{name} at {revision}", problems)
    return endpoint(revision, name)


def validate_request(revision: str, name: str, path: str | None, body: Body) -> None:
    """Checks the body of a call, and its path if one is given. Raises `ContractViolation`."""
    problems = request_problems(revision, name, path, body)
    if problems:
        raise ContractViolation(f"{name} at {revision}", problems)


def request_problems(revision: str, name: str, path: str | None, body: Body) -> list[str]:
    """What is wrong with the path and body of a call, a line each."""
    at = endpoint(revision, name)
    ids: Mapping[str, str] = {}
    if path is not None:
        found = recognise(revision, at.method, path)
        if found is None or found[0] != name:
            return [f"{path} is not a path of {name}"]
        ids = found[1]
    elif isinstance(body, dict) and isinstance(body.get("data"), dict):
        ids = {"id": body["data"].get("id", "")}
    problems = []
    for rules in binding_revisions(revision):
        problems += [f"{rules} {problem}" for problem in _schema_problems(rules, revision, name, body)]
    if not problems and body is not None:
        problems = list(prose_problems(revision, name, ids, body))
    return problems


def validate_response(revision: str, name: str, status: int, body: Body, *, sparse: bool = False) -> None:
    """Checks an answer; `sparse` says that the call named fields. Raises `ContractViolation`."""
    problems = response_problems(revision, name, status, body, sparse=sparse)
    if problems:
        raise ContractViolation(f"{name} at {revision} answered {status}", problems)


def response_problems(
    revision: str, name: str, status: int, body: Body, *, sparse: bool = False
) -> list[str]:
    """What is wrong with an answer, a line each."""
    if status < 400 and status not in endpoint(revision, name).success:
        return [f"status {status} is none of {endpoint(revision, name).success}"]
    validator = _response_validator(revision, name, status, sparse)
    if validator is None:
        return [] if body is None else ["a body where the specification has none"]
    return ["no body"] if body is None else validator.problems(body)


def recognise(revision: str, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The endpoint's name and the ids in a concrete path, or None. A trailing slash makes no difference."""
    for pattern, name in _patterns(revision, method):
        match = pattern.fullmatch(path.rstrip("/"))
        if match:
            return name, {key: unquote(value) for key, value in match.groupdict().items()}
    return None


@cache
def _patterns(revision: str, method: str) -> list[tuple[re.Pattern[str], str]]:
    found = []
    for name, at in endpoints(revision).items():
        if at.method == method.upper():
            parts = re.split(r"\{(\w+)\}", at.path.rstrip("/"))
            parts[::2] = map(re.escape, parts[::2])
            parts[1::2] = (f"(?P<{key}>[^/]+)" for key in parts[1::2])
            found.append((re.compile("".join(parts)), name))
    return found


def _schema_problems(rules: str, revision: str, name: str, body: Body) -> list[str]:
    validator = _request_validator(rules, name)
    if validator is None:
        return [] if body is None else ["a body where the specification has none"]
    if body is None:
        return ["no body"]
    if name == "bulk_unsubscribe_profiles" and rules == revision < "2024-10-15":
        body = _without_subscriptions(body)
    return validator.problems(body)


def _without_subscriptions(body: Body) -> Body:
    copy = json.loads(json.dumps(body))
    for profile in copy.get("data", {}).get("attributes", {}).get("profiles", {}).get("data", ()):
        profile.get("attributes", {}).pop("subscriptions", None)
    return copy


@cache
def _closed(revision: str) -> Closed:
    return Closed(revision)


@cache
def _closed_live(revision: str, sparse: bool) -> Closed:
    return Closed(revision, as_sparse if sparse else as_live)


@cache
def _request_validator(revision: str, name: str) -> Validator | None:
    described = _operation(revision, name)
    schema = content(described.get("requestBody", {}))
    return _closed(revision).validator(schema) if schema else None


@cache
def _response_validator(revision: str, name: str, status: int, sparse: bool) -> Validator | None:
    responses = _operation(revision, name)["responses"]
    part = responses.get(str(status)) or responses.get(f"{status // 100}XX")
    if part is None:  # a status that only live answers have: the specification's success describes it
        part = next(one for code, one in responses.items() if code.startswith("2"))
    if "$ref" in part:
        part = specification(revision)["components"]["responses"][part["$ref"].rsplit("/", 1)[1]]
    schema = content(part)
    if schema is None:
        return None
    if status < 400:
        schema = with_links(_named(revision, schema))
    return _closed_live(revision, sparse).validator(schema)


def _named(revision: str, schema: Body) -> Body:
    if "$ref" not in schema:
        return schema
    return specification(revision)["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]


def _operation(revision: str, name: str) -> Body:
    at = endpoint(revision, name)
    found = operation(revision, at.path, at.method)
    if found is None:
        raise LookupError(f"The specification of {revision} that is at hand does not describe {name}.")
    return found
