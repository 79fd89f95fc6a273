"""All that one sandbox holds: accounts, keys, switches, windows, faults and the request log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from askel_tui.sandbox.jsonapi.ids_and_times import fingerprint
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.faults import Faults
from askel_tui.sandbox.state.rate_limits import Limits
from askel_tui.sandbox.state.settings import Settings


@dataclass(slots=True)
class Key:
    """A private key of an account; `scopes` None: all of them."""

    account: str
    secret: str = field(repr=False)
    scopes: frozenset[str] | None = None
    revoked: bool = False
    mark: str = ""

    def __post_init__(self) -> None:
        self.mark = self.mark or fingerprint(self.secret)

    def as_dict(self) -> dict[str, Any]:
        """For showing: a fingerprint in place of the key."""
        scopes = None if self.scopes is None else sorted(self.scopes)
        return {"key": self.mark, "account": self.account, "scopes": scopes, "revoked": self.revoked}


class World:
    """One sandbox."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.limits = Limits()
        self.faults = Faults()
        self.log: deque[dict[str, Any]] = deque(maxlen=self.settings.log_limit)
        self.logged = 0
        self.changes = 0
        """Counts whatever may have changed the state, so that an idle sandbox is not saved again."""

    def add_account(self, account: Account) -> Account:
        """Takes an account in."""
        self.accounts[account.id] = account
        return account

    def add_key(self, secret: str, account: str, scopes: frozenset[str] | None = None) -> Key:
        """Makes a key of an account; `scopes` None: all of them."""
        self.keys[secret] = key = Key(account, secret, scopes)
        return key

    def change_settings(self, values: dict[str, Any]) -> None:
        """Sets switches. Raises `SettingError`."""
        self.settings = self.settings.changed(values)
        if self.log.maxlen != self.settings.log_limit:
            self.log = deque(self.log, maxlen=self.settings.log_limit)

    def note(self, entry: dict[str, Any]) -> None:
        """Adds a request to the log."""
        self.logged += 1
        self.log.append({"n": self.logged, **entry})

    def clear(self) -> None:
        """Forgets everything but the switches."""
        self.accounts.clear()
        self.keys.clear()
        self.limits.clear()
        self.faults.all.clear()
        self.log.clear()
        self.changes += 1
