"""Encoding of responses, bodies and operation ids in audit entries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from askel_tui.core.canonical import canonical_json
from askel_tui.store.journal.rows import GateAnswer
from askel_tui.text.times import to_rfc3339

DEEP_NESTING_LEVELS = 100
"""The number of brackets from which on a body is tested whether it can be written again inside an entry."""


def response_document(
    status: int | None,
    body: bytes | None,
    detail: str | None,
    differences: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """Makes the `response` of an entry: {status, body} where there was an answer, `detail`, and `differences` from
    what was sent; None where it is empty."""
    response: dict[str, Any] = {}
    if status is not None:
        response["status"] = status
    if body is not None:
        response["body"] = decode_body(body)
    if detail:
        response["detail"] = detail
    if differences:
        response["differences"] = [dict(each) for each in differences]
    return response or None


def gate_document(answer: GateAnswer, now: int) -> dict[str, Any]:
    """Makes what an entry says of a gate's answer: what it was, when it was read, how old it was then."""
    return {
        "member": answer.member,
        "read": to_rfc3339(answer.read),
        # The clock may have been set back meanwhile.
        "age_ms": max(0, now - answer.read),
    }


def decode_body(body: bytes) -> Any:
    """Decodes a body as JSON where it is JSON that can be written again, else as text."""
    if not body:
        return None
    try:
        value = _JSON.decode(body.decode())
        if body.count(b"{") + body.count(b"[") > DEEP_NESTING_LEVELS:
            # An entry holds it some levels deeper, and must still be possible to write.
            canonical_json([[[value]]])
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large to be written again")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


def join_actor(by: str | None, claimed: str | None) -> str | None:
    """Joins who handed a record in and who the record names as its actor, in one text that rows carry along.

    Where nobody is known to have handed it in, the record is all there is to go by.
    """
    if by is None:
        return claimed
    return by if claimed in (None, by) else f"{by}\n{claimed}"


def split_actor(actor: str) -> tuple[str, str | None]:
    """Splits the text of `join_actor`: who it was, and what the record claims."""
    by, joined, claimed = actor.partition("\n")
    return by, claimed if joined else None


def pack_operation_id(operation: str) -> bytes | str:
    """Packs an operation id for storage: 16 bytes for 32 hex digits, anything else as it is."""
    try:
        packed = bytes.fromhex(operation)
    except ValueError:
        return operation
    return packed if packed.hex() == operation else operation


def unpack_operation_id(stored: bytes | str | None) -> str | None:
    """Unpacks an operation id that `pack_operation_id` packed."""
    return stored.hex() if isinstance(stored, bytes) else stored
