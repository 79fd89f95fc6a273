"""Operations: one planned effect of one step on one profile. Pure.

The dry run shows operations, and live sends them. Their encoding is canonical, so that two operations are the same
exactly when their bytes are.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from askel_tui.contract.calls import Call
from askel_tui.core.canonical import canonical_json

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

OnConflict = Literal["fail", "strongest", "merge"]
"""The policy for a 409, where an update names identifiers of two profiles."""

IDENTIFIERS = ("email", "phone_number", "external_id")
"""The identifiers a record may give, strongest first (docs/klaviyo.md 3.1)."""


_ASCII_LOWER = {ord(capital): capital.lower() for capital in string.ascii_uppercase}


def fold_email(address: str) -> str:
    """Returns an e-mail address as addresses are compared: ASCII letters small, and every other character as it is.

    Folding further would make one person of two: weiß@ and weiss@ are two addresses.
    """
    return address.lower() if address.isascii() else address.translate(_ASCII_LOWER)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifiers of the profile that a record is about. At least one is set."""

    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Identity:
        """Reads the identifiers from a profile's attributes."""
        given = {name: attributes.get(name) for name in IDENTIFIERS}
        return cls(**{name: value for name, value in given.items() if isinstance(value, str) and value})

    def identifiers(self) -> dict[str, str]:
        """Returns the identifiers that are set, strongest first, under Klaviyo's names."""
        # Called several times per operation: written out, this is four times as fast as a loop.
        found: dict[str, str] = {}
        if self.email is not None:
            found["email"] = self.email
        if self.phone_number is not None:
            found["phone_number"] = self.phone_number
        if self.external_id is not None:
            found["external_id"] = self.external_id
        return found

    def keys(self) -> tuple[str, ...]:
        """Returns one ordering key per identifier.

        Records that share a key are about one profile; e-mails are compared by `fold_email`.
        """
        if self.email is not None and self.phone_number is None and self.external_id is None:
            return (f"email:{fold_email(self.email)}",)
        return tuple(
            f"{name}:{fold_email(value) if name == 'email' else value}"
            for name, value in self.identifiers().items()
        )

    def is_same_profile(self, other: Identity) -> bool:
        """Checks whether two identities are of one profile, as far as they say.

        The same e-mail or external id is. The same phone number is only where neither has an e-mail or external id
        that the other contradicts: people share phones.
        """
        ours, theirs = self.deciding_keys(), other.deciding_keys()
        if not set(ours).isdisjoint(theirs):
            return True
        if self.phone_number is None or self.phone_number != other.phone_number:
            return False
        return {key[:5] for key in ours}.isdisjoint(key[:5] for key in theirs)

    def deciding_keys(self) -> tuple[str, ...]:
        """Returns the ordering keys that say which profile is meant: without the phone number, where there are
        others."""
        keys = self.keys()
        return tuple(key for key in keys if not key.startswith("phone_number:")) or keys

    def label(self) -> str:
        """Returns the strongest identifier, for people."""
        return next(iter(self.identifiers().values()), "")


@dataclass(frozen=True, slots=True)
class Target:
    """An object of the account that a step names (list, segment, flow, metric or property), by id and name.

    A metric to be created has no id.
    """

    type: TargetType
    id: str | None
    name: str

    def as_dict(self) -> dict[str, str | None]:
        """Converts the target to plain JSON values."""
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
    | `bulk_subscribe_profiles` | `channels`; optional `custom_source`, `consented_at`, `historical`, `proof` |
    | `bulk_unsubscribe_profiles` | `channels` |
    | both | optional `left_out`: the channels of the step whose identifiers the record lacks |
    | `get_profiles_for_segment` (a gate) | `member` (what the step requires); optional `within` (seconds) |

    A subscription with `proof` is refused for who has opted out since that time, or at all where it is null; without it
    nobody is asked.

    An event of a replay also has `replay`, and `backfill` where it is to be kept as history.

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
        """True if this is a gate: a read of the account instead of a write."""
        return self.kind == "require_segment"

    @property
    def destination(self) -> Target | None:
        """The list, segment or metric that the call addresses."""
        return self.through or self.target

    def encode(self) -> bytes:
        """Encodes the operation as canonical bytes: sorted keys, no spaces, UTF-8."""
        return Encoder().encode(self)

    @classmethod
    def decode(cls, encoded: bytes) -> Operation:
        """Decodes an operation from the bytes of `encode`."""
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
    """An encoder of many operations. Parts that the operations of one step or of one record share are encoded once."""

    def __init__(self) -> None:
        self._frames: dict[tuple[object, ...], tuple[bytes, bytes, bytes]] = {}
        self._shared: list[Operation] = []
        """The operations whose targets the frames refer to: kept alive, so that no other target can get such an
        `id()`."""
        self._profile: tuple[Identity | None, bytes] = (None, b"")

    def encode(self, operation: Operation) -> bytes:
        """Encodes an operation as canonical bytes."""
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
    """Encodes an operation except body, id and profile: the bytes between body and id, between id and profile, and
    after that."""
    rest = b',"step":' + canonical_json(operation.step)
    if operation.target is not None:
        rest += b',"target":' + canonical_json(operation.target.as_dict())
    if operation.through is not None:
        rest += b',"through":' + canonical_json(operation.through.as_dict())
    call, kind = canonical_json(operation.call), canonical_json(operation.kind)
    return b',"call":' + call + b',"id":', b',"kind":' + kind + b',"profile":', rest + b"}"


class EncodedParts(NamedTuple):
    """The parts of an operation's canonical bytes, as `split_encoded` finds them."""

    id: str
    body: str
    """The body, as canonical JSON."""
    profile: str
    """The identifiers, as canonical JSON."""
    shared: bytes
    """The call, kind, step and targets: equal bytes for equal ones."""


def split_encoded(encoded: bytes) -> EncodedParts:
    """Splits an operation's canonical bytes into the parts that an audit entry needs, without decoding them.

    The names are in order, and no quotation mark stands unescaped inside a JSON string: searched from the end, the
    first match of a name is the name.
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


@lru_cache(maxsize=1024)
def decode_shared(shared: bytes) -> tuple[StepKind, Target | None]:
    """Decodes the kind and the target from what `split_encoded` gives as shared."""
    value = json.loads(b"{" + shared[1:])
    return value["kind"], _target(**value["target"]) if "target" in value else None


class Decoder:
    """A decoder of many operations. Parts that the operations of one step or of one record share are decoded once."""

    def __init__(self) -> None:
        self._frames: dict[bytes, Operation] = {}
        self._profile: tuple[str, Identity] = ("{}", Identity())

    def decode(self, encoded: bytes) -> Operation:
        """Decodes an operation from the bytes of `encode`."""
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


@lru_cache(maxsize=1024)
def _target(type: TargetType, id: str | None, name: str) -> Target:  # noqa: A002
    """Returns the target; equal ones are one object."""
    return Target(type, id, name)


def operation_id(connection: str, workflow: str, version: int, record: str, step: str) -> str:
    """Derives the id of an operation, 32 hex digits, from its origin, so that planning again adds nothing."""
    return _digest(connection, workflow, str(version), record, step)


def event_unique_id(account: str, connection: str, workflow: str, record: str, step: str, metric: str) -> str:
    """Derives an event's `unique_id`, 32 hex digits.

    The version is no part of it: an edit of the workflow never doubles an event.
    """
    return _digest(account, connection, workflow, record, step, metric)


def _digest(*parts: str) -> str:
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:32]
