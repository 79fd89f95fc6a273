"""Faults that a test or a rehearsal asks for, by endpoint."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

_FIELD_TYPES: Final = {
    "endpoint": str,
    "status": int,
    "body": str,
    "delay": float,
    "reset": bool,
    "lost": bool,
    "cut": float,
    "after": bool,
    "partial": str,
    "retry_after": int,
    "times": int,
    "probability": float,
    "seed": int,
}
_BODY_KINDS: Final = ("json", "html", "malformed", "empty")


class FaultError(ValueError):
    """A fault that could not be understood."""


@dataclass(slots=True)
class Fault:
    """A fault: which requests it strikes, in which way, and how many times.

    `endpoint`: its operationId in the newest revision, or "*". `delay` seconds between reading
    the request and processing it, which happens even where the client has gone. `reset`: the
    connection is dropped before the request is processed; `lost`: after it; `cut`:
    within the answer, of whose body this share came (0 to 1). `status` with a `body` kind is answered
    instead of processing, or with `after` once it was processed (then without a status: its own, in that body).
    `partial`: the fields that the header X-Klaviyo-Partial-Failure of a processed answer names.
    `times`: how often, None for ever. `probability`: of striking at all, from a generator with `seed`.
    """

    endpoint: str = "*"
    status: int | None = None
    body: str = "json"
    delay: float = 0.0
    reset: bool = False
    lost: bool = False
    cut: float | None = None
    after: bool = False
    partial: str | None = None
    retry_after: int | None = None
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    struck: int = 0
    generator: random.Random = field(default_factory=random.Random)

    @classmethod
    def read(cls, given: dict[str, Any]) -> Fault:
        """Reads a fault from JSON. Raises `FaultError` for an unknown word or a wrong value."""
        for name, value in given.items():
            if name not in _FIELD_TYPES:
                raise FaultError(f"A fault has no {name!r}. It has: {', '.join(_FIELD_TYPES)}.")
            wanted = _FIELD_TYPES[name]
            fits = isinstance(value, (int, float) if wanted is float else wanted)
            if not fits or (isinstance(value, bool) and wanted is not bool):
                raise FaultError(f"{name} takes a {wanted.__name__}, not {value!r}.")
        if given.get("body", "json") not in _BODY_KINDS:
            raise FaultError(f"body is one of {', '.join(_BODY_KINDS)}.")
        if not 0 <= given.get("cut", 0.0) < 1:
            raise FaultError("cut is the share of the body that comes: 0 or more, below 1.")
        fault = cls(**given)
        fault.generator = random.Random(fault.seed)
        return fault

    def as_dict(self) -> dict[str, Any]:
        """Converts the fault to JSON, with the number of times it has struck."""
        return {name: getattr(self, name) for name in (*_FIELD_TYPES, "struck")}


class Faults:
    """The faults that are set, in the order they were set."""

    def __init__(self) -> None:
        self.all: list[Fault] = []

    def next_fault(self, endpoint: str) -> Fault | None:
        """Finds the fault that strikes a request of this endpoint, if any; counted as struck."""
        if not self.all:
            return None
        for fault in self.all:
            if fault.endpoint not in ("*", endpoint):
                continue
            if fault.times is not None and fault.struck >= fault.times:
                continue
            if fault.probability < 1.0 and fault.generator.random() >= fault.probability:
                continue
            fault.struck += 1
            return fault
        return None
