"""Lines: the operations of one line are sent one after another, in the order of their records. Pure.

Identifiers are of one line if anything ever linked them: a record that named them together, or an answer that showed
them on one profile. A line that is too wide costs time only, so links are never taken back. An identifier is a number
(a hash, with its kind in the lowest bits), and so is a line: the smallest of its identifiers' numbers.

An identifier that stands beside more than `MAX_PARTNERS` e-mails, or as many external ids, is shared: it belongs to no
one person. It joins no further lines. A shared phone number does not order what names a stronger identifier, too; a
shared e-mail or external id goes on ordering whatever names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from askel_tui.core.operations import IDENTIFIERS, Identity

MAX_PARTNERS = 5
"""The largest number of e-mails, and of external ids, beside which an identifier still links."""

_KIND_BITS = 3
_EMAIL, _PHONE, _EXTERNAL_ID = range(len(IDENTIFIERS))


def identifier_numbers(identity: Identity) -> tuple[int, ...]:
    """Returns the numbers of an identity's identifiers, strongest first, before a connection is known."""
    return tuple(key_number(key) for key in identity.keys())


def connection_numbers(connection: str, numbers: Iterable[int]) -> tuple[int, ...]:
    """Returns the numbers that identifiers have under a connection, given those of `identifier_numbers`."""
    salt = _connection_salt(connection)
    return tuple([number ^ salt for number in numbers])


@lru_cache(maxsize=256)
def _connection_salt(connection: str) -> int:
    return _hash(connection) & ~_KIND_BITS


def key_number(key: str) -> int:
    """Returns the number of an identifier, given its ordering key (`Identity.keys`), before a connection is known."""
    # The second letter tells the kinds apart: email, phone_number, external_id.
    return _hash(key) & ~_KIND_BITS | "mhx".index(key[1])


def _hash(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def kind_of(number: int) -> str:
    """Returns the name of an identifier's kind, given its number."""
    return IDENTIFIERS[number & _KIND_BITS]


def _are_too_many(partners: Sequence[int]) -> bool:
    emails = sum(each & _KIND_BITS == _EMAIL for each in partners)
    return max(emails, len(partners) - emails) > MAX_PARTNERS


def _is_phone(number: int) -> bool:
    return number & _KIND_BITS == _PHONE


class LinkRow(NamedTuple):
    """What is known of an identifier: the number that leads to its line, and what it stood beside."""

    toward: int
    """The identifier's own number where its line is named after it, else a smaller one of the line."""
    partners: tuple[int, ...] | None = ()
    """The e-mails and external ids that it stood beside; None once they were too many."""


class Links:
    """The links among identifiers: as much of them as the identifiers at hand need."""

    def __init__(self, rows: Mapping[int, LinkRow] | None = None) -> None:
        """Makes the links from the rows of the identifiers at hand, and of all that these lead to."""
        self._rows = dict(rows or {})
        self.changed: dict[int, LinkRow] = {}
        """The rows that `link` made or changed."""
        self.joined: list[tuple[int, int]] = []
        """The lines that are no more, and the lines that they went into."""
        self.newly_shared: list[int] = []
        """The identifiers that `link` found to be shared."""

    def lines(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Returns the lines of an operation that names these identifiers."""
        if len(numbers) == 1:
            return (self._line(numbers[0]),)
        named = [each for each in numbers if not (_is_phone(each) and self._is_shared(each))]
        return tuple(dict.fromkeys([self._line(each) for each in named or numbers]))

    def link(self, numbers: Sequence[int]) -> None:
        """Links the identifiers that a record names together, or an answer showed on one profile."""
        if len(numbers) < 2:
            return
        partners = [each for each in numbers if not _is_phone(each)]
        lines = {self._line(each) for each in numbers if self._still_links(each, partners)}
        if len(lines) > 1:
            first = min(lines)
            for line in lines - {first}:
                self._set(line, LinkRow(first, self._row(line).partners))
                self.joined.append((line, first))

    def _still_links(self, number: int, partners: Sequence[int]) -> bool:
        """Notes what an identifier stands beside; returns False where that is too much."""
        row = self._row(number)
        if row.partners is None:
            return False
        known = row.partners + tuple(
            [each for each in partners if each != number and each not in row.partners]
        )
        if len(known) == len(row.partners):
            return True
        shared = len(known) > MAX_PARTNERS and _are_too_many(known)
        self._set(number, LinkRow(row.toward, None if shared else known))
        if shared:
            self.newly_shared.append(number)
        return not shared

    def _line(self, number: int) -> int:
        rows = self._rows
        while (row := rows.get(number)) is not None and row.toward != number:
            number = row.toward
        return number

    def _is_shared(self, number: int) -> bool:
        row = self._rows.get(number)
        return row is not None and row.partners is None

    def _row(self, number: int) -> LinkRow:
        return self._rows.get(number) or LinkRow(number)

    def _set(self, number: int, row: LinkRow) -> None:
        self._rows[number] = self.changed[number] = row
