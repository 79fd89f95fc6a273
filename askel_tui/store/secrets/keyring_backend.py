"""The vault as a `keyring` backend. Importing this registers it with keyring."""

from __future__ import annotations

import os

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.errors import PasswordDeleteError

from askel_tui.store import paths
from askel_tui.store.errors import NoSafeKeyring
from askel_tui.store.secrets.master_key import find_master_key
from askel_tui.store.secrets.vault import Vault


class AskelVault(KeyringBackend):
    """A keyring of passwords in a vault: the given one, or that of `ASKEL_HOME` as the environment opens it."""

    def __init__(self, vault: Vault | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._vault = vault

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - a class property: its argument is the class
        """Ranks the vault above plain files, below the system's keyrings; not viable where nothing could open the
        vault."""
        if find_master_key(os.environ) is None:
            raise RuntimeError("neither ASKEL_VAULT_KEY nor ASKEL_VAULT_KEY_FILE is set")
        return 2.5

    def get_password(self, service: str, username: str) -> str | None:
        return self._opened().get(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._opened().set(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        if not self._opened().delete(service, username):
            raise PasswordDeleteError(f"there is no password of {username!r} for {service!r}")

    def _opened(self) -> Vault:
        if self._vault is None:
            home, master = paths.home(), find_master_key(os.environ)
            if master is None:
                raise NoSafeKeyring("neither ASKEL_VAULT_KEY nor ASKEL_VAULT_KEY_FILE is set")
            self._vault = Vault(paths.vault_file(home), master)
        return self._vault
