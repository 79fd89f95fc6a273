"""The vault: API keys in one encrypted file, for machines without a keyring.

A random data key encrypts every entry with AES-256-GCM, the entry's own name bound to it. The data key is wrapped by a
key that is derived from the master key: by Argon2id from a passphrase, by HKDF from a key file. A MAC over the whole
file shows when an entry was removed, renamed or added. It keeps keys from a thief of the disk or of a backup, not from
this user.
"""

from __future__ import annotations

import base64
import functools
import hmac
import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from askel_tui.core.canonical import canonical_json
from askel_tui.store.atomic_files import read_file, replace_file
from askel_tui.store.errors import VaultDamaged, VaultLocked
from askel_tui.store.locks import locked
from askel_tui.store.secrets.master_key import KEY_BYTES, MasterKey

if TYPE_CHECKING:
    from pathlib import Path

VAULT_FORMAT = 1
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class KdfCost:
    """The cost of one guess of a passphrase (Argon2id); `memory` in KiB. The default takes about 0.1 s."""

    iterations: int = 3
    lanes: int = 4
    memory: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Opened:
    """A vault's document with the data key that opens its entries."""

    document: dict[str, Any]
    data_key: bytes = field(repr=False)


class Vault:
    """A vault: entries by service and name in the file `path`. Every change is whole, durable and excludes others.

    All methods raise `VaultLocked` for a wrong master key, `VaultDamaged` for changed bytes, `HomeUnusable`,
    `LockTimeout`.
    """

    def __init__(self, path: Path, master: MasterKey, cost: KdfCost = KdfCost()) -> None:
        self.path = path
        self._master = master
        self._cost = cost

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    def get(self, service: str, name: str) -> str | None:
        """Returns the secret of an entry, None where there is none."""
        opened = self._open()
        if opened is None:
            return None
        box = opened.document["entries"].get(_entry_name(service, name))
        if box is None:
            return None
        return self._unseal(opened.data_key, box, _entry_context(service, name)).decode()

    def set(self, service: str, name: str, secret: str) -> None:
        """Stores an entry in place of the one before; the first one makes the vault."""
        with locked(self.path):
            opened = self._open() or self._make()
            box = _seal(opened.data_key, secret.encode(), _entry_context(service, name))
            opened.document["entries"][_entry_name(service, name)] = box
            self._write(opened)

    def delete(self, service: str, name: str) -> bool:
        """Removes an entry; returns False where there was none."""
        with locked(self.path):
            opened = self._open()
            if opened is None or opened.document["entries"].pop(_entry_name(service, name), None) is None:
                return False
            self._write(opened)
            return True

    def _open(self) -> _Opened | None:
        content = read_file(self.path)
        if content is None:
            return None
        document = self._parse(content)
        wrapping = self._wrapping_key(document["kdf"])
        try:
            data_key = _unbox(wrapping, document["key"], _key_context(document))
        except (InvalidTag, ValueError):
            raise VaultLocked(
                f"the vault {self.path} does not open with {self._master.source}: it is not what the vault "
                "was made with, or the file was damaged; set the right one, or restore the file from a backup"
            ) from None
        if not hmac.compare_digest(
            _mac(data_key, document), document["mac"].encode("utf-8", "surrogatepass")
        ):
            raise VaultDamaged(self.path, "its entries are not the ones that were stored")
        return _Opened(document, data_key)

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise VaultDamaged(self.path, "it is no JSON") from None
        version = document.get("format") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VAULT_FORMAT:
            raise VaultLocked(f"the vault {self.path} was written by a newer Askel; use that one")
        if not isinstance(document, dict) or not _well_formed(document):
            raise VaultDamaged(self.path, "a part of it is missing")
        return document

    def _make(self) -> _Opened:
        kdf: dict[str, Any] = {"salt": _text(os.urandom(16))}
        if self._master.kind == "passphrase":
            cost = self._cost
            kdf |= {"name": "argon2id"}
            kdf |= {"iterations": cost.iterations, "lanes": cost.lanes, "memory": cost.memory}
        else:
            kdf |= {"name": "hkdf-sha256"}
        data_key = AESGCM.generate_key(256)
        document: dict[str, Any] = {"format": VAULT_FORMAT, "kdf": kdf, "entries": {}}
        document["key"] = _seal(self._wrapping_key(kdf), data_key, _key_context(document))
        return _Opened(document, data_key)

    def _write(self, opened: _Opened) -> None:
        opened.document["mac"] = _mac(opened.data_key, opened.document).decode()
        replace_file(self.path, json.dumps(opened.document, indent=1).encode())

    def _wrapping_key(self, kdf: dict[str, Any]) -> bytes:
        made_with = "passphrase" if kdf["name"] == "argon2id" else "key"
        if made_with != self._master.kind:
            wanted = "a passphrase (ASKEL_VAULT_KEY)" if made_with == "passphrase" else "a key file"
            raise VaultLocked(
                f"the vault {self.path} was made with {wanted}, but {self._master.source} is set; "
                "set what it was made with, and only that"
            )
        try:
            salt = _bytes(kdf["salt"])
            if made_with == "key":
                return _expand(self._master.secret, salt)
            return _stretch(self._master.secret, salt, kdf["iterations"], kdf["lanes"], kdf["memory"])
        except ValueError:
            raise VaultDamaged(self.path, "its header makes no sense") from None

    def _unseal(self, key: bytes, box: dict[str, str], context: bytes) -> bytes:
        try:
            return _unbox(key, box, context)
        except (InvalidTag, ValueError):
            raise VaultDamaged(self.path, "an entry is not the one that was stored under its name") from None


_argon2_lock = threading.Lock()
"""A lock that is held while deriving: OpenSSL's Argon2 with several lanes hangs for ever where two threads derive at
once."""


def _stretch(passphrase: bytes, salt: bytes, iterations: int, lanes: int, memory: int) -> bytes:
    """Derives the wrapping key of a passphrase, once per process and vault. Raises `ValueError`."""
    with _argon2_lock:
        return _derived(passphrase, salt, iterations, lanes, memory)


@functools.lru_cache(maxsize=16)
def _derived(passphrase: bytes, salt: bytes, iterations: int, lanes: int, memory: int) -> bytes:
    # A changed header must not make the derivation take all of the machine's memory.
    if not (1 <= iterations <= 64 and 1 <= lanes <= 64 and 8 * lanes <= memory <= 1024 * 1024):
        raise ValueError("cost out of bounds")
    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory)
    return kdf.derive(passphrase)


def _expand(secret: bytes, salt: bytes, info: bytes = b"askel vault wrapping key") -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def _seal(key: bytes, plain: bytes, context: bytes) -> dict[str, str]:
    nonce = os.urandom(_NONCE_BYTES)
    return {"nonce": _text(nonce), "data": _text(AESGCM(key).encrypt(nonce, plain, context))}


def _unbox(key: bytes, box: dict[str, str], context: bytes) -> bytes:
    return AESGCM(key).decrypt(_bytes(box["nonce"]), _bytes(box["data"]), context)


def _mac(data_key: bytes, document: dict[str, Any]) -> bytes:
    covered = {name: value for name, value in document.items() if name != "mac"}
    key = _expand(data_key, b"", b"askel vault mac")
    return base64.b64encode(hmac.digest(key, canonical_json(covered), "sha256"))


def _key_context(document: dict[str, Any]) -> bytes:
    return canonical_json(["askel vault", document["format"], document["kdf"]])


def _entry_context(service: str, name: str) -> bytes:
    return canonical_json(["askel vault entry", service, name])


def _entry_name(service: str, name: str) -> str:
    return canonical_json([service, name]).decode()


def _well_formed(document: dict[str, Any]) -> bool:
    if document.keys() != {"format", "kdf", "key", "entries", "mac"} or document["format"] != VAULT_FORMAT:
        return False
    entries = document["entries"]
    if not isinstance(entries, dict) or not isinstance(document["mac"], str):
        return False
    return _is_kdf(document["kdf"]) and all(map(_is_box, [document["key"], *entries.values()]))


def _is_kdf(kdf: object) -> bool:
    if not isinstance(kdf, dict) or not isinstance(kdf.get("salt"), str):
        return False
    if kdf.get("name") == "hkdf-sha256":
        return kdf.keys() == {"name", "salt"}
    costs = ("iterations", "lanes", "memory")
    complete = kdf.keys() == {"name", "salt", *costs} and kdf["name"] == "argon2id"
    return complete and all(type(kdf[cost]) is int for cost in costs)


def _is_box(box: object) -> bool:
    parts = ("nonce", "data")
    return isinstance(box, dict) and box.keys() == {*parts} and all(isinstance(box[p], str) for p in parts)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    """Decodes bytes from text. Raises `ValueError` for text that is not exactly what `_text` gives."""
    value = base64.b64decode(text, validate=True)
    if _text(value) != text:
        raise ValueError("not canonical")
    return value
