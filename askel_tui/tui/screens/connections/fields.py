"""The fields of the connection form, parsed and checked. Pure; an error never repeats a secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from askel_tui.core.problems import did_you_mean

if TYPE_CHECKING:
    from askel_tui.core.operations import OnConflict

ON_CONFLICT_CHOICES: tuple[tuple[str, OnConflict], ...] = (
    ("fail the record, name both profiles", "fail"),
    ("write with the strongest identifier", "strongest"),
    ("merge the profiles in Klaviyo", "merge"),
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class ConnectionFields:
    """The values of the form, without the key."""

    name: str
    revision: str
    customer: str | None
    only_lists: tuple[str, ...]
    notify: tuple[str, ...]
    on_conflict: OnConflict

    def __repr__(self) -> str:
        # Addresses may hold tokens.
        return f"ConnectionFields({self.name!r})"

    def editable_values(self) -> dict[str, Any]:
        """Returns the values that can be changed in a connection that exists."""
        return {
            "customer": self.customer,
            "only_lists": self.only_lists,
            "notify": self.notify,
            "on_conflict": self.on_conflict,
        }


def split_lists(text: str) -> tuple[str, ...]:
    """Splits a line into names or ids of lists, which commas separate."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def split_addresses(text: str) -> tuple[str, ...]:
    """Splits a line into addresses, which blanks separate: a comma may be part of an address."""
    return tuple(dict.fromkeys(text.split()))


def fields_error(fields: ConnectionFields, existing_names: Sequence[str]) -> str | None:
    """Finds the first error that can be found without asking Klaviyo, or None."""
    return name_error(fields, existing_names) or address_error(fields.notify)


def name_error(fields: ConnectionFields, existing_names: Sequence[str]) -> str | None:
    """Finds the error in the name, or None."""
    if not fields.name:
        return "Give the connection a name."
    if not _NAME.fullmatch(fields.name):
        return "A name is letters, digits, dots, dashes and underscores, at most 64, and begins with a letter or digit."
    if fields.name in existing_names:
        return f"A connection called {fields.name} exists: Esc, then r gives it a new key."
    return None


def address_error(addresses: Sequence[str]) -> str | None:
    """Finds the first malformed address for notices, by its number, since an address may hold a token; or None."""
    for number, address in enumerate(addresses, 1):
        if not _ADDRESS.fullmatch(address):
            return f"Address {number} for notices is not of the form service://… (https://, slack://, mailto://)."
    return None


def unknown_lists_error(only: Sequence[str], known: Sequence[str]) -> str | None:
    """Describes the allowed lists that the account lacks, each with the most similar name; None where it has them
    all."""
    unknown = []
    for name in only:
        if name not in known:
            guess = did_you_mean(name, known)
            unknown.append(f"{name} (did you mean {guess}?)" if guess else name)
    return f"Not a list of the account: {', '.join(unknown)}" if unknown else None
