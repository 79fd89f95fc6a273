"""Errors of calls to Klaviyo: one class per kind, each with Klaviyo's own words (docs/klaviyo.md 4).

`str(error)` is one sentence for people: at most 300 characters, nothing in it that a terminal would obey. Klaviyo may
reword a `detail` at any time, so nothing is decided by it, except where Klaviyo gives no other sign.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.text.sanitizing import sanitize_sentence
from askel_tui.text.shortening import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_MESSAGE_CHARACTERS = 300

NO_VALID_REVISIONS = "No valid revisions"
"""The start of a 404's detail when the revision is older than the endpoint. Its code is not known."""


@dataclass(frozen=True, slots=True)
class KlaviyoErrorItem:
    """One error of a response. Absent parts are empty; `meta` may hold a duplicate's id."""

    code: str = ""
    title: str = ""
    detail: str = ""
    pointer: str = ""
    parameter: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """The part of the request that the error is about: its pointer, or the name of the query parameter."""
        return self.pointer or self.parameter


class KlaviyoError(AskelError):
    """A call that failed. Subclasses are the kinds; this class itself is a response of no known kind.

    `status` is None when there was no response; `body` is the response's, free of secrets. `attempts` is the number of
    times that the call was made. `may_have_arrived` is False only where the request certainly did not reach Klaviyo.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: Sequence[KlaviyoErrorItem] = (),
        retry_after: float | None = None,
        may_have_arrived: bool = True,
        body: bytes = b"",
    ) -> None:
        super().__init__(shorten(sanitize_sentence(message), MAX_MESSAGE_CHARACTERS))
        self.status = status
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.may_have_arrived = may_have_arrived
        self.body = body
        self.attempts = 1

    @property
    def code(self) -> str:
        """The code that Klaviyo gave the first error, or empty."""
        return self.errors[0].code if self.errors else ""

    @property
    def detail(self) -> str:
        """The detail that Klaviyo gave the first error, or empty."""
        return self.errors[0].detail if self.errors else ""

    @property
    def pointer(self) -> str:
        """The pointer that Klaviyo gave the first error, or empty."""
        return self.errors[0].pointer if self.errors else ""


class KeyRefused(KlaviyoError):
    """401: the key is unknown, deleted or disabled."""

    exit_code = ExitCode.KEY_OR_SCOPE


class ScopeMissing(KlaviyoError):
    """403 with Klaviyo's own body: a scope or an entitlement is missing. Klaviyo does not name it."""

    exit_code = ExitCode.KEY_OR_SCOPE


class NotInAccount(KlaviyoError):
    """404: the account has nothing of the path's id."""


class NotInThisRevision(KlaviyoError):
    """The revision has no such endpoint."""


class RevisionRetired(NotInThisRevision):
    """410: the revision is retired, or the endpoint is."""

    exit_code = ExitCode.REFUSED


class Conflict(KlaviyoError):
    """409: an identifier belongs to another profile, or the resource may not be changed now."""

    @property
    def duplicate_profile_id(self) -> str | None:
        """The id of the other profile that has the identifier; None where Klaviyo does not name it."""
        for item in self.errors:
            found = item.meta.get("duplicate_profile_id")
            if isinstance(found, str):
                return found
        return None


class InvalidRequest(KlaviyoError):
    """400: the request is not valid; `errors` point at the wrong parts."""


class TooLarge(KlaviyoError):
    """413: the request is over a size limit."""


LONG_WAIT_S = 120.0
"""The wait, in seconds, from which on a rate limit is no pace to keep but a stop: twice its longest usual window."""


class RateLimited(KlaviyoError):
    """429: over a rate limit; `retry_after` is in seconds."""

    exit_code = ExitCode.UNREACHABLE

    @property
    def is_long(self) -> bool:
        """True if Klaviyo asks to wait so long that it has to be told."""
        return (self.retry_after or 0) >= LONG_WAIT_S


class Unavailable(KlaviyoError):
    """Klaviyo could not be reached, or could not serve the call just now: it is worth another try later."""

    exit_code = ExitCode.UNREACHABLE


class UnreadableResponse(KlaviyoError):
    """The response does not follow the contract: the outcome of a write is unknown."""

    exit_code = ExitCode.UNREACHABLE


def error_from_response(
    call: str,
    status: int,
    body: bytes,
    *,
    scopes: Sequence[str] = (),
    retry_after: float | None = None,
    challenged: bool = False,
    scrub: Callable[[str], str] = str,
) -> KlaviyoError:
    """Makes the error that a response other than 2xx stands for.

    `scrub` takes secrets out of a text; `body` stays as given. `scopes` are those that the call needs. `challenged`:
    the network edge refused, before the API saw anything.
    """
    items = parse_error_items(body, scrub)
    kind, sentence = _classify(call, status, items, scopes)
    return kind(
        scrub(sentence),
        status=status,
        errors=items,
        retry_after=retry_after,
        may_have_arrived=not challenged,
        body=body,
    )


def parse_error_items(body: bytes, scrub: Callable[[str], str] = str) -> tuple[KlaviyoErrorItem, ...]:
    """Parses the errors in Klaviyo's envelope; none for any other body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    errors = document.get("errors") if isinstance(document, dict) else None
    return (
        tuple(_item(entry, scrub) for entry in errors if isinstance(entry, dict))
        if isinstance(errors, list)
        else ()
    )


def _item(entry: Mapping[str, Any], scrub: Callable[[str], str]) -> KlaviyoErrorItem:
    source = entry.get("source")
    source = source if isinstance(source, dict) else {}
    meta = entry.get("meta")

    def text(value: object) -> str:
        return sanitize_sentence(scrub(value)) if isinstance(value, str) else ""

    return KlaviyoErrorItem(
        code=text(entry.get("code")),
        title=text(entry.get("title")),
        detail=text(entry.get("detail")),
        pointer=text(source.get("pointer")),
        parameter=text(source.get("parameter")),
        meta=_scrubbed(meta, scrub) if isinstance(meta, dict) else {},
    )


def _scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub(key): _scrubbed(inner, scrub) for key, inner in value.items()}
    if isinstance(value, list):
        return [_scrubbed(inner, scrub) for inner in value]
    return value


def _classify(
    call: str, status: int, items: Sequence[KlaviyoErrorItem], scopes: Sequence[str]
) -> tuple[type[KlaviyoError], str]:
    said = _said(items)
    if any(item.code in ("not_authenticated", "authentication_failed") for item in items) or status == 401:
        return KeyRefused, "Klaviyo refuses the key: it was deleted or disabled, or it is not a private key."
    if status == 403 and items:
        needs = f"It needs {_and(scopes)}; Klaviyo does not say what is missing." if scopes else ""
        return ScopeMissing, f"The key may not do this ({call}). {needs} {said}".strip()
    if status == 403:
        return Unavailable, f"The network edge before Klaviyo refused the request ({call}) with a web page."
    if status == 410:
        return RevisionRetired, f"Klaviyo has retired this revision, or {call} in it. {said}".strip()
    if status == 404 and any(item.detail.startswith(NO_VALID_REVISIONS) for item in items):
        return NotInThisRevision, f"Klaviyo has no {call} at this revision. {said}".strip()
    if status == 404 and items:
        return NotInAccount, f"Klaviyo does not find what {call} names. {said}"
    if status == 409:
        return Conflict, f"Klaviyo refused {call} as a conflict. {said}".strip()
    if status in (413, 414):
        return TooLarge, f"Klaviyo refused {call}: the request is too large. {said}".strip()
    if status in (400, 422):
        return InvalidRequest, f"Klaviyo refused {call}. {said}".strip()
    if status == 429:
        return RateLimited, f"Klaviyo's rate limit for {call} is reached."
    if status >= 500 or status in (408, 425):
        return Unavailable, f"Klaviyo could not do {call} just now: it answered {status}. {said}".strip()
    if 300 <= status < 400:
        return (
            UnreadableResponse,
            f"The server answered {call} with a redirect ({status}); those are never followed.",
        )
    if not items:
        return (
            UnreadableResponse,
            f"The server answered {call} with {status} and nothing that Klaviyo would say.",
        )
    return KlaviyoError, f"Klaviyo refused {call} with {status}. {said}"


def _said(items: Sequence[KlaviyoErrorItem]) -> str:
    """Describes the first error in Klaviyo's words, and the number of further ones."""
    if not items:
        return ""
    first = items[0]
    text = first.detail or first.title or first.code
    text += f" (at {first.location})" if first.location.strip("/") not in ("", "data") else ""
    return text + (f" And {len(items) - 1} more." if len(items) > 1 else "")


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
