"""Operations: one planned effect of one step on one profile.

An operation is what the dry run shows and what live sends. Its encoding is canonical, so that two operations
are the same exactly when their bytes are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import orjson

from askel_tui.contract.calls import Call

StepKind = Literal[
    "upsert_profile",
    "add_to_list",
    "remove_from_list",
    "track_event",
    "trigger_flow",
    "subscribe",
    "unsubscribe",
    "require_segment",
]
"""The action of a step, as workflow files write it."""

STEP_KINDS: tuple[StepKind, ...] = get_args(StepKind)

TargetType = Literal["list", "segment", "flow", "metric", "property"]

IDENTIFIERS = ("email", "phone_number", "external_id")
"""The identifiers a record may give, strongest first (docs/klaviyo.md 3.1)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a record is about: at least one identifier is set."""

    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None

    def identifiers(self) -> dict[str, str]:
        """The identifiers that are set, strongest first, under Klaviyo's names."""
        # Asked for several times per operation: written out, this is four times as fast as a loop.
        found: dict[str, str] = {}
        if self.email is not None:
            found["email"] = self.email
        if self.phone_number is not None:
            found["phone_number"] = self.phone_number
        if self.external_id is not None:
            found["external_id"] = self.external_id
        return found

    def keys(self) -> tuple[str, ...]:
        """One ordering key per identifier: records that share a key are one profile (e-mail case-folded)."""
        if self.email is not None and self.phone_number is None and self.external_id is None:
            return (f"email:{self.email.casefold()}",)
        return tuple(
            f"{name}:{value.casefold() if name == 'email' else value}"
            for name, value in self.identifiers().items()
        )

    def label(self) -> str:
        """The strongest identifier, for people."""
        return next(iter(self.identifiers().values()), "")


@dataclass(frozen=True, slots=True)
class Target:
    """What a step names, pinned by id and name. A metric that does not exist yet has no id: it is created."""

    type: TargetType
    id: str | None
    name: str

    def as_dict(self) -> dict[str, str | None]:
        """The target as the JSON of the command line shows it."""
        return {"type": self.type, "id": self.id, "name": self.name}


@dataclass(frozen=True, slots=True)
class Operation:
    """One planned effect of one step on one profile.

    `call` is the Klaviyo operation (its name in the contract data) that carries the effect in a single call.
    `body` is free of any revision's dialect:

    | call | body |
    | --- | --- |
    | `create_or_update_profile` | `attributes` {name: value or null}, `properties` {name: value}, `unset` [name] |
    | `add_profiles_to_list`, `remove_profiles_from_list` | empty |
    | `create_event` | `metric`, `properties`, `time`, `unique_id`; optional `value`, `value_currency` |
    | `bulk_subscribe_profiles` | `channels`; optional `custom_source`, `consented_at` {channel: time}, `historical` |
    | `bulk_unsubscribe_profiles` | `channels` |
    | `get_profiles_for_segment` (a gate) | `member` (what the step requires) |

    An event of a replay has `replay` besides, and `backfill` where it is to be kept as history.

    `target` is what the step names. `through` is the list or metric that carries a `trigger_flow`.
    """

    id: str
    step: str
    kind: StepKind
    call: Call
    profile: Identity
    target: Target | None = None
    through: Target | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_gate(self) -> bool:
        """Whether this is a question to the account instead of a write."""
        return self.kind == "require_segment"

    @property
    def destination(self) -> Target | None:
        """The list, segment or metric that the call addresses."""
        return self.through or self.target

    def encode(self) -> bytes:
        """The canonical bytes: sorted keys, no spaces, UTF-8."""
        return Encoder().encode(self)

    @classmethod
    def decode(cls, encoded: bytes) -> Operation:
        """The operation whose `encode` gave these bytes."""
        value = json.loads(encoded)
        return cls(
            id=value["id"],
            step=value["step"],
            kind=value["kind"],
            call=Call(value["call"]),
            profile=Identity(**value["profile"]),
            target=_target(**value["target"]) if "target" in value else None,
            through=_target(**value["through"]) if "through" in value else None,
            body=value["body"],
        )


class Encoder:
    """Encodes many operations: what those of one step share, and those of one record, is written once."""

    def __init__(self) -> None:
        self._frames: dict[tuple[object, ...], tuple[bytes, bytes, bytes]] = {}
        self._shared: list[Operation] = []
        """Keeps the targets of the frames, so that no other ones can come to bear their `id`."""
        self._profile: tuple[Identity | None, bytes] = (None, b"")

    def encode(self, operation: Operation) -> bytes:
        """The canonical bytes of an operation."""
        alike = (operation.call, operation.kind, operation.step, id(operation.target), id(operation.through))
        frame = self._frames.get(alike)
        if frame is None:
            frame = self._frames[alike] = _frame(operation)
            self._shared.append(operation)
        call, kind, rest = frame
        if operation.profile is not self._profile[0]:
            self._profile = operation.profile, canonical_json(operation.profile.identifiers())
        body = canonical_json(operation.body) if operation.body else b"{}"
        return b"".join((b'{"body":', body, call, canonical_json(operation.id), kind, self._profile[1], rest))


def _frame(operation: Operation) -> tuple[bytes, bytes, bytes]:
    """The bytes of an operation between its body and its id, between its id and its profile, and behind that."""
    rest = b',"step":' + canonical_json(operation.step)
    if operation.target is not None:
        rest += b',"target":' + canonical_json(operation.target.as_dict())
    if operation.through is not None:
        rest += b',"through":' + canonical_json(operation.through.as_dict())
    call, kind = canonical_json(operation.call), canonical_json(operation.kind)
    return b',"call":' + call + b',"id":', b',"kind":' + kind + b',"profile":', rest + b"}"


class EncodedParts(NamedTuple):
    """The canonical bytes of an operation, cut as `Encoder` puts them together; see `cut`."""

    id: str
    body: str
    """What it sends, as canonical JSON."""
    profile: str
    """The identifiers, as canonical JSON."""
    shared: bytes
    """Call, kind, step and targets: the same bytes for the same ones."""


def split_encoded(encoded: bytes) -> EncodedParts:
    """What an audit entry needs of an operation's canonical bytes, without decoding them.

    The names are in order, and inside a JSON string no quotation mark stands by itself: from the end on, the first
    place that looks like one of these names is the name.
    """
    step = encoded.rindex(b',"step":')
    profile = encoded.rindex(b',"profile":', 0, step)
    kind = encoded.rindex(b',"kind":', 0, profile)
    ident = encoded.rindex(b',"id":', 0, kind)
    call = encoded.rindex(b',"call":', 0, ident)
    name = encoded[ident + 6 : kind]
    return EncodedParts(
        json.loads(name) if b"\\" in name else name[1:-1].decode(),
        encoded[8:call].decode(),
        encoded[profile + 11 : step].decode(),
        encoded[call:ident] + encoded[kind:profile] + encoded[step:],
    )


class Decoder:
    """Decodes many operations: what those of one step share, and those of one record, is made once."""

    def __init__(self) -> None:
        self._frames: dict[bytes, Operation] = {}
        self._profile: tuple[str, Identity] = ("{}", Identity())

    def decode(self, encoded: bytes) -> Operation:
        """The operation whose `encode` gave these bytes."""
        ident, body, profile, shared = split_encoded(encoded)
        frame = self._frames.get(shared)
        if frame is None:
            frame = self._frames[shared] = Operation.decode(encoded)
        if profile != self._profile[0]:
            self._profile = profile, Identity(**json.loads(profile))
        return Operation(
            ident,
            frame.step,
            frame.kind,
            frame.call,
            self._profile[1],
            frame.target,
            frame.through,
            _loads(body),
        )


_loads = json.JSONDecoder().decode


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: equal values give equal bytes.

    Raises `ValueError` for NaN and infinities, which JSON has no words for. Lone surrogates are kept as escapes,
    integers of any size as they are.
    """
    try:
        encoded = orjson.dumps(value, option=_SORTED)
    except TypeError:
        return _exactly(value)
    if b"null" in encoded:
        # It may stand for a number that is none.
        _check_finite(value)
    # What the encoder gives holds on to a buffer of 4 KB; many of these are kept.
    return bytes(memoryview(encoded))


def _exactly(value: object) -> bytes:
    """As `canonical_json`, for what the fast encoder refuses: integers over 64 bits, lone surrogates."""
    try:
        return _PLAIN.encode(value).encode()
    except UnicodeEncodeError:
        return _ESCAPED.encode(value).encode()


def _check_finite(value: object) -> None:
    stack = [value]
    while stack:
        match stack.pop():
            case float() as number if not math.isfinite(number):
                raise ValueError(f"{number} is no number that JSON can say")
            case dict() as fields:
                stack.extend(fields.values())
            case list() | tuple() as items:
                stack.extend(items)


_SORTED = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# `json.dumps` would make an encoder for every call.
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ESCAPED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=1024)
def _target(type: TargetType, id: str | None, name: str) -> Target:  # noqa: A002
    """The target; many operations share one."""
    return Target(type, id, name)


def operation_id(connection: str, workflow: str, version: int, record: str, step: str) -> str:
    """The id of an operation, 32 hex digits: doing it twice is doing it once."""
    return _digest(connection, workflow, str(version), record, step)


def event_unique_id(account: str, connection: str, workflow: str, record: str, step: str, metric: str) -> str:
    """An event's `unique_id`, 32 hex digits. No version: an edit of the workflow never doubles an event."""
    return _digest(account, connection, workflow, record, step, metric)


def _digest(*parts: str) -> str:
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:32]
