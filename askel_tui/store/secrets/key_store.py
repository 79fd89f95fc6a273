"""The key store: API keys are kept in our vault where one is set up, else in the system's keyring, else nowhere.

Either is used through `keyring`'s interface. `keyring` and `cryptography` are loaded when a key is needed.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

from askel_tui.store import paths
from askel_tui.store.errors import InvalidKey, KeyringFailed, NoSafeKeyring, StoreError, VaultLocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from keyring.backend import KeyringBackend

KEYRING_SERVICE = "askel-tui"

SAFE_BACKENDS = frozenset(
    {
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.kwallet.DBusKeyringKWallet4",
        "keyring.backends.macOS.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
    }
)
"""The backends that encrypt. `keyrings.alt` writes plain text, and is picked as soon as it is installed."""

_CHAINER = "keyring.backends.chainer.ChainerBackend"

_SET_UP = (
    "set ASKEL_VAULT_KEY to a passphrase, or ASKEL_VAULT_KEY_FILE to a file of 32 random bytes "
    "(umask 077; head -c 32 /dev/urandom > FILE), and Askel keeps its keys in an encrypted vault of its own"
)


def check_key(key: str) -> str:
    """Removes the blanks around a key and checks it. Raises `InvalidKey`, which does not show the key."""
    key = key.strip()
    if not key:
        raise InvalidKey("the API key is empty; give Klaviyo's private key, pk_…, on standard input")
    if any(c.isspace() or unicodedata.category(c).startswith("C") for c in key):
        raise InvalidKey(
            "the API key holds a blank, a line break or a control character; give one key, pk_…, on one line"
        )
    return key


class KeyStore:
    """The keys of a home's connections. Its methods block, so call them in a thread."""

    def __init__(self, backend: KeyringBackend, backend_name: str, service: str = KEYRING_SERVICE) -> None:
        self._backend = backend
        self._service = service
        self.backend_name = backend_name
        """The name of the keyring or vault that keeps the keys, for people."""

    def __repr__(self) -> str:
        return f"Secrets({self.backend_name})"

    def get(self, connection: str) -> str | None:
        """Returns the key of a connection, None where there is none. Raises `KeyringFailed` or the vault's errors."""
        with self._explain("read the key"):
            return self._backend.get_password(self._service, connection)

    def set(self, connection: str, key: str) -> None:
        """Stores a key in place of the one before. Raises `InvalidKey`, else as `get` does."""
        key = check_key(key)
        with self._explain("store the key", key):
            self._backend.set_password(self._service, connection, key)

    def delete(self, connection: str) -> None:
        """Deletes a key; nothing happens where there is none. Raises as `get` does."""
        if self.get(connection) is not None:
            with self._explain("delete the key"):
                self._backend.delete_password(self._service, connection)

    @contextmanager
    def _explain(self, action: str, key: str = "") -> Iterator[None]:
        """Raises a backend's errors as `KeyringFailed`, with the key taken out of their text."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            if key:
                reason = reason.replace(key, "…")
            raise KeyringFailed(
                f"{self.backend_name} could not {action}: {reason}. Unlock it and try again; or {_SET_UP}"
            ) from None


def open_key_store(home: Path) -> KeyStore:
    """Opens the key store of a home: see the module for the order.

    Raises `NoSafeKeyring` where there is no safe place, `VaultLocked` where the vault's key is missing or
    unfit.
    """
    from askel_tui.store.secrets.master_key import find_master_key

    master = find_master_key(os.environ)
    if master is not None:
        from askel_tui.store.secrets.keyring_backend import AskelVault
        from askel_tui.store.secrets.vault import Vault

        vault = Vault(paths.vault_file(home), master)
        return KeyStore(AskelVault(vault), f"Askel's vault ({vault.path}, opened with {master.source})")
    if paths.vault_file(home).exists():
        raise VaultLocked(
            f"the keys are in the vault {paths.vault_file(home)}; "
            "set ASKEL_VAULT_KEY or ASKEL_VAULT_KEY_FILE to what it was made with"
        )
    return _system_keyring(home)


def _system_keyring(home: Path) -> KeyStore:
    import keyring

    try:
        backend = keyring.get_keyring()
    except Exception as error:
        raise NoSafeKeyring(f"the system's keyring can't be used ({error}); {_SET_UP}") from None
    unsafe = [name for name in _members(backend) if name not in SAFE_BACKENDS]
    if unsafe:
        raise NoSafeKeyring(_refusal(unsafe))
    # Another home of the same user, a demo's say, must not share keys by its connections' names.
    return KeyStore(backend, _class_name(backend), f"{KEYRING_SERVICE} {os.path.realpath(home)}")


def _members(backend: KeyringBackend) -> list[str]:
    """Lists the backends that a key would pass through, by full class name; a chain counts as its members."""
    if _class_name(backend) != _CHAINER:
        return [_class_name(backend)]
    members: Iterable[KeyringBackend] = getattr(backend, "backends", ())
    return [_class_name(member) for member in members] or [_CHAINER]


def _refusal(unsafe: list[str]) -> str:
    if all(name.startswith(("keyring.backends.fail.", "keyring.backends.chainer.")) for name in unsafe):
        return f"this machine has no keyring to keep API keys in; {_SET_UP}"
    return f"API keys are not given to {', '.join(unsafe)}, which is not known to encrypt them; {_SET_UP}"


def _class_name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"
