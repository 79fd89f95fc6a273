"""What an audit entry commits to: its text, its salted payload, and the salted parts of a request's body. Pure.

docs/audit.md describes the format. An entry's hash is the SHA-256 of its text, which names the entry before it. What
names or describes a person is not in the text but in the payload, of which the text holds SHA-256(salt ‖ payload): so
the payload and its salt can be erased, and the chain still holds. A body is committed to part by part, for the same
reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from askel_tui.core.canonical import canonical_json

SALT_BYTES = 16

ERASED_PART = b"null"
"""What stands in a body where a part was erased."""


def commitment(salt: bytes, data: bytes) -> bytes:
    """Commits to data that can't be guessed from the commitment without the salt."""
    return hashlib.sha256(salt + data).digest()


def payload_bytes(profile: str | None, response: str | None) -> bytes:
    """Returns the payload of an entry: its profile and its response, each as canonical JSON."""
    return f'{{"profile":{profile or "null"},"response":{response or "null"}}}'.encode()


def json_text(value: str | None) -> str:
    """Encodes a text as JSON in ASCII. Raises `TypeError` for anything else."""
    return "null" if value is None else encode_basestring_ascii(value)


_frequent_text = lru_cache(maxsize=1024)(json_text)


def ascii_json(value: object) -> str:
    """Encodes a value as JSON with sorted names, without spaces, in ASCII."""
    return _ASCII.encode(value)


_ASCII = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def entry_frame(
    chain: str,
    at: int,
    actor: str,
    kind: str,
    status: str,
    connection: str | None = None,
    workflow: str | None = None,
    step: str | None = None,
    target: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    attempts: int = 0,
    ms: int | None = None,
    revision: str | None = None,
    key: str | None = None,
    claimed: str | None = None,
) -> tuple[str, str, str]:
    """Returns the text of an entry around its own values, which `entry_hash` adds; its names stand in their order."""
    json_text = _frequent_text
    head = (
        f'{{"actor":{json_text(actor)},"at":{at},"attempts":{attempts},"chain":{json_text(chain)},'
        f'"claimed":{json_text(claimed)},"connection":{json_text(connection)},"key":{json_text(key)},"kind":{json_text(kind)},'
        f'"ms":{"null" if ms is None else ms},"operation":'
    )
    middle = f',"request":{"null" if request is None else ascii_json(request)},"revision":{json_text(revision)},"seq":'
    tail = (
        f',"status":{json_text(status)},"step":{json_text(step)},'
        f'"target":{"null" if target is None else ascii_json(target)},"workflow":{json_text(workflow)}}}'
    )
    return head, middle, tail


def entry_hash(
    frame: tuple[str, str, str],
    number: int,
    before: bytes,
    payload: bytes,
    operation: str | None = None,
    record: str | None = None,
) -> bytes:
    """Computes the hash of the entry with a number in its chain, that follows the one with the hash `before`."""
    head, middle, tail = frame
    text = (
        f'{head}{json_text(operation)},"payload":"{payload.hex()}","prev":"{before.hex()}",'
        f'"record":{json_text(record)}{middle}{number}{tail}'
    )
    return hashlib.sha256(text.encode("ascii")).digest()


def record_head(connection: str, received: int, actor: str | None) -> bytes:
    """Encodes what an acceptance commits to before a record's body: its connection, the time of its receipt and who
    handed it in."""
    return f"[{json_text(connection)},{received},{json_text(actor)}]".encode()


def body_digest(
    body: bytes, lengths: Sequence[int], salts: bytes, erased: Mapping[int, bytes]
) -> bytes | None:
    """Returns the digest of a body: the SHA-256 of the commitments to its parts; None where they don't fit it.

    `erased` holds the commitments of parts that were erased.
    """
    if sum(lengths) != len(body) or len(salts) != SALT_BYTES * len(lengths):
        return None
    commitments = [commitment(salt, part) for salt, part in body_parts(body, lengths, salts)]
    for index, kept in erased.items():
        if index not in range(len(commitments)):
            return None
        salt, part = list(body_parts(body, lengths, salts))[index]
        if salt != bytes(SALT_BYTES) or part.removesuffix(b",") != ERASED_PART:
            return None
        commitments[index] = kept
    return hashlib.sha256(b"".join(commitments)).digest()


def body_parts(body: bytes, lengths: Sequence[int], salts: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Lists the parts of a body, each with its salt before it."""
    start = 0
    for index, length in enumerate(lengths):
        yield salts[SALT_BYTES * index : SALT_BYTES * (index + 1)], body[start : start + length]
        start += length


def request_fields(request: int, method: str, path: str, digest: bytes) -> dict[str, Any]:
    """Returns the fields of a request that an entry commits to."""
    return {"id": request, "method": method, "path": path, "sha256": digest.hex()}


def chain_hash(before: bytes, entry: Mapping[str, Any]) -> bytes:
    """Computes the hash of an entry of version 0.1.0 (without `prev` and `hash`) that follows the one with the hash
    `before`."""
    prev = before.hex()
    return hashlib.sha256(prev.encode() + canonical_json({**entry, "prev": prev})).digest()
