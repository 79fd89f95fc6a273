"""What is typed into the form of a connection, read and checked. Pure; a secret is never repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.core.problems import did_you_mean

if TYPE_CHECKING:
    from askel_tui.store.state.documents import OnConflict

ON_CONFLICT_CHOICES: tuple[tuple[str, OnConflict], ...] = (
    ("fail the record, name both profiles", "fail"),
    ("write with the strongest identifier", "strongest"),
    ("merge the profiles in Klaviyo", "merge"),
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class ConnectionFields:
    """What a form holds, the key aside."""

    name: str
    revision: str
    customer: str | None
    only_lists: tuple[str, ...]
    notify: tuple[str, ...]
    on_conflict: OnConflict

    def __repr__(self) -> str:
        # Addresses may hold tokens.
        return f"Fields({self.name!r})"

    def editable_values(self) -> dict[str, Any]:
        """What can be changed of a connection that exists."""
        return {
            "customer": self.customer,
            "only_lists": self.only_lists,
            "notify": self.notify,
            "on_conflict": self.on_conflict,
        }


def split_lists(text: str) -> tuple[str, ...]:
    """Names or ids, between commas."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def split_addresses(text: str) -> tuple[str, ...]:
    """Addresses, between blanks: a comma may be part of one."""
    return tuple(dict.fromkeys(text.split()))


def fields_error(fields: ConnectionFields, taken: Sequence[str]) -> str | None:
    """What has to be put right before anything is asked of Klaviyo; None where nothing has."""
    return name_error(fields, taken) or address_error(fields.notify)


def name_error(fields: ConnectionFields, taken: Sequence[str]) -> str | None:
    """Why a connection can't be called so; None where it can."""
    if not fields.name:
        return "Give the connection a name."
    if not _NAME.fullmatch(fields.name):
        return "A name is letters, digits, dots, dashes and underscores, at most 64, and begins with a letter or digit."
    if fields.name in taken:
        return f"A connection called {fields.name} exists: Esc, then r gives it a new key."
    return None


def address_error(addresses: Sequence[str]) -> str | None:
    """Which address for notices is none; it is told by its number, for it may hold a token."""
    for number, address in enumerate(addresses, 1):
        if not _ADDRESS.fullmatch(address):
            return f"Address {number} for notices is not of the form service://… (https://, slack://, mailto://)."
    return None


def unknown_lists_error(only: Sequence[str], known: Sequence[str]) -> str | None:
    """Which of the lists that may be touched the account does not have, with what may have been meant."""
    told = []
    for name in only:
        if name not in known:
            guess = did_you_mean(name, known)
            told.append(f"{name} (did you mean {guess}?)" if guess else name)
    return f"Not a list of the account: {', '.join(told)}" if told else None
