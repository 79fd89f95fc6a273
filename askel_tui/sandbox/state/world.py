"""The whole state of one sandbox: accounts, keys, switches, windows, faults and the request log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from askel_tui.sandbox.jsonapi.ids_and_times import fingerprint
from askel_tui.sandbox.state.account import Account
from askel_tui.sandbox.state.faults import Faults
from askel_tui.sandbox.state.rate_limits import RateLimits
from askel_tui.sandbox.state.settings import Settings


@dataclass(slots=True)
class ApiKey:
    """A private key of an account; `scopes` None: all of them."""

    account: str
    secret: str = field(repr=False)
    scopes: frozenset[str] | None = None
    revoked: bool = False
    fingerprint: str = ""

    def __post_init__(self) -> None:
        self.fingerprint = self.fingerprint or fingerprint(self.secret)

    def as_dict(self) -> dict[str, Any]:
        """Converts the key to JSON, with its fingerprint in place of the secret."""
        scopes = None if self.scopes is None else sorted(self.scopes)
        return {"key": self.fingerprint, "account": self.account, "scopes": scopes, "revoked": self.revoked}


class World:
    """The state of one sandbox."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, ApiKey] = {}
        self.rate_limits = RateLimits()
        self.faults = Faults()
        self.log: deque[dict[str, Any]] = deque(maxlen=self.settings.log_limit)
        self.logged_count = 0
        self.change_count = 0
        """The number of requests that may have changed the state, so that an idle sandbox is not saved again."""

    def add_account(self, account: Account) -> Account:
        """Adds an account."""
        self.accounts[account.id] = account
        return account

    def add_key(self, secret: str, account: str, scopes: frozenset[str] | None = None) -> ApiKey:
        """Makes a key of an account; `scopes` None gives it all scopes."""
        self.keys[secret] = key = ApiKey(account, secret, scopes)
        return key

    def change_settings(self, values: dict[str, Any]) -> None:
        """Sets switches. Raises `SettingError`."""
        self.settings = self.settings.changed(values)
        if self.log.maxlen != self.settings.log_limit:
            self.log = deque(self.log, maxlen=self.settings.log_limit)

    def log_request(self, entry: dict[str, Any]) -> None:
        """Adds a request to the log."""
        self.logged_count += 1
        self.log.append({"n": self.logged_count, **entry})

    def forget_all(self) -> None:
        """Forgets everything but the switches."""
        self.accounts.clear()
        self.keys.clear()
        self.rate_limits.clear()
        self.faults.all.clear()
        self.log.clear()
        self.change_count += 1
