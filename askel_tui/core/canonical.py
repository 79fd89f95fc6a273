"""Canonical JSON: equal values give equal bytes, so that bytes can be compared, digested and signed. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from askel_tui.core.numbers import WrittenNumber


def canonical_json(value: object) -> bytes:
    """Encodes a value as JSON with sorted keys and no spaces, UTF-8: equal values give equal bytes.

    Raises `ValueError` for NaN and infinities, which JSON cannot express. Lone surrogates are kept as escapes, integers
    of any size as they are.
    """
    try:
        encoded = orjson.dumps(value, _plain_number, _SORTED)
    except TypeError:
        return _encode_exactly(value)
    if b"null" in encoded:
        # The null may stand for NaN or an infinity.
        _check_finite(value)
    # A copy: the encoder's own bytes hold on to a buffer of 4 KB, and many of them are kept.
    return bytes(memoryview(encoded))


def canonical_json_as_written(value: object) -> bytes:
    """Encodes a value as `canonical_json` does, but each `WrittenNumber` with its own text.

    The texts in the value hold no NUL. Raises `ValueError` as `canonical_json` does.
    """
    try:
        encoded = orjson.dumps(value, _marked_number, _SORTED)
    except TypeError:
        encoded = _encode_exactly(_with_marked_numbers(value))
    if b"null" in encoded:
        _check_finite(value)
    if b'"\\u0000' in encoded:
        return _MARKED_NUMBER.sub(rb"\1", encoded)
    return bytes(memoryview(encoded))


def _plain_number(value: object) -> float:
    if isinstance(value, WrittenNumber):
        return float(value)
    raise TypeError


def _marked_number(value: object) -> str:
    # A NUL marks it: no text of a record holds one.
    if isinstance(value, WrittenNumber):
        return f"\0{value.text}"
    raise TypeError


def _with_marked_numbers(value: Any) -> Any:
    match value:
        case WrittenNumber():
            return _marked_number(value)
        case dict():
            return {name: _with_marked_numbers(each) for name, each in value.items()}
        case list():
            return [_with_marked_numbers(each) for each in value]
    return value


def _encode_exactly(value: object) -> bytes:
    """Encodes a value that the fast encoder refuses (integers over 64 bits, lone surrogates), as `canonical_json`
    does."""
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


_MARKED_NUMBER = re.compile(rb'"\\u0000([-+.0-9eE]+)"')
_SORTED = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# `json.dumps` would make an encoder for every call.
_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ESCAPED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
