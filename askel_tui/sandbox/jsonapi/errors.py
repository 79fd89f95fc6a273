"""Klaviyo's refusals: the statuses, codes and bodies as recorded (docs/klaviyo.md 4)."""

from __future__ import annotations

from typing import Any, Final

from askel_tui.sandbox.jsonapi.ids_and_times import error_id

_NOT_FOUND_DETAILS: Final = {
    "list": "A list with id `{}` does not exist.",
    "segment": "A segment with id `{}` does not exist.",
    "profile": "A profile with id {} does not exist.",
    "flow": "A flow with id {} does not exist.",
    "metric": "Metric with id {} does not exist.",
    "account": "Account with id {} not found.",
    "template": "Template with id '{}' does not exist",
    "event": "An event with id {} does not exist.",
    "job": "A job with id {} does not exist.",
}
_PERMISSION_DETAIL: Final = "You do not have permission to perform this action."
_LIMITS_PAGE: Final = "https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling#rate-limits"


class Refusal(Exception):
    """A response with errors: its status, its error objects, and for a 429 the seconds of Retry-After."""

    def __init__(self, status: int, errors: list[dict[str, Any]], retry_after: int | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors
        self.retry_after = retry_after


def error_object(detail: str, pointer: str | None = None, *, parameter: str | None = None) -> dict[str, Any]:
    """Makes one error object of a 400 `invalid`."""
    source = {"parameter": parameter} if parameter else {"pointer": pointer or "/data"}
    return {
        **_base_error(400, "invalid", "Invalid input.", detail),
        "source": source,
        "links": {},
        "meta": {},
    }


def invalid(detail: str, pointer: str | None = None, *, parameter: str | None = None) -> Refusal:
    """Makes the 400 for one thing that is wrong with the request."""
    return Refusal(400, [error_object(detail, pointer, parameter=parameter)])


def not_found(kind: str, ident: str) -> Refusal:
    """Makes the 404 for a list, profile, … that does not exist."""
    detail = _NOT_FOUND_DETAILS.get(kind, kind.capitalize() + " with id {} does not exist.").format(ident)
    return simple_refusal(404, "not_found", "Not found.", detail)


def duplicate_profile(other: str) -> Refusal:
    """Makes the 409 for an identifier that belongs to another profile; the error names that profile's id."""
    error = {
        **_base_error(
            409,
            "duplicate_profile",
            "Conflict.",
            "A profile already exists with one of these identifiers.",
        ),
        "source": {"pointer": "/data/attributes"},
        "links": {},
        "meta": {"duplicate_profile_id": other},
    }
    return Refusal(409, [error])


def forbidden(detail: str = _PERMISSION_DETAIL) -> Refusal:
    """Makes the 403 for a key that lacks a scope (the error does not name it), or an account that lacks a product."""
    return simple_refusal(403, "permission_denied", _PERMISSION_DETAIL, detail)


def unauthorized(given: bool) -> Refusal:
    """Makes the 401 for a call without a key, or with an unknown one."""
    if given:
        return simple_refusal(401, "authentication_failed", *(2 * ("Incorrect authentication credentials.",)))
    return simple_refusal(401, "not_authenticated", *(2 * ("Authentication credentials were not provided.",)))


def throttled(wait: int) -> Refusal:
    """Makes the 429 for a full window; `wait` whole seconds until one opens."""
    unit = "second" if wait == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {wait} {unit}."
    error = {
        **_base_error(429, "throttled", "Request was throttled.", detail),
        "source": {"pointer": "/data"},
        "links": {"type": _LIMITS_PAGE},
        "meta": {},
    }
    return Refusal(429, [error], retry_after=wait)


def simple_refusal(status: int, code: str, title: str, detail: str, pointer: str = "/data/") -> Refusal:
    """Makes one error without `links` and `meta`, as the recorded 401, 403 and 404 are."""
    return Refusal(status, [{**_base_error(status, code, title, detail), "source": {"pointer": pointer}}])


def _base_error(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    return {"id": error_id(), "status": status, "code": code, "title": title, "detail": detail}
