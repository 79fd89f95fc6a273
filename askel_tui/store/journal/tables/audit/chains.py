"""The chains of the audit and their ends.

There is one for the home, and for each account two: of acceptances, and of writes and decisions. A connection whose
account is not known has two of its own; once the account is known they are closed, and an entry in the account's chain
(`join`) says where each ended. The entries of version 0.1.0 are a chain that is closed in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Literal

from askel_tui.store.journal.transaction import Transaction, inserted_id

HOME_CHAIN = "home"
FIRST_CHAIN, FIRST_CHAIN_ID = "0.1.0", 0
"""The chain of entries that version 0.1.0 wrote. In their rows no chain is named."""

ChainKind = Literal["acceptances", "writes"]


@dataclass(slots=True, eq=False)
class ChainEnd:
    """The end of a chain: its last entry's number, hash and row. `number` is 0 in an empty one."""

    id: int
    name: str
    number: int
    hash: bytes
    row: int
    closed: bool = False

    def as_target(self) -> dict[str, str | int]:
        """Returns what a `join` entry says of the chain that it closes."""
        return {"type": "chain", "name": self.name, "seq": self.number, "hash": self.hash.hex()}


class ChainEnds:
    """The ends of chains that a transaction appends to; each is read once."""

    def __init__(self, db: Transaction) -> None:
        self._db = db
        self._by_connection: dict[str | None, ChainEnd] = {}
        self._by_name: dict[str, ChainEnd] = {}

    def of_writes(self, connection: str | None) -> ChainEnd:
        """Returns the end of the chain of writes and decisions of a connection; of the home's for None."""
        end = self._by_connection.get(connection)
        if end is None:
            name = HOME_CHAIN if connection is None else chain_name(self._db, connection, "writes")
            end = self._by_connection[connection] = self.named(name)
        return end

    def named(self, name: str) -> ChainEnd:
        """Returns the end of a chain, which begins here if it is a new one."""
        end = self._by_name.get(name)
        if end is None:
            end = self._by_name[name] = find_chain(self._db, name) or self._begin(name)
        return end

    def _begin(self, name: str) -> ChainEnd:
        added = self._db.execute(
            "INSERT INTO audit_chains (name, number, hash, last) VALUES (?, 0, zeroblob(32), 0)", (name,)
        )
        return ChainEnd(inserted_id(added), name, 0, bytes(32), 0)

    def save(self) -> None:
        """Writes the ends."""
        self._db.executemany(
            "UPDATE audit_chains SET number = ?, hash = ?, last = ?, closed = ? WHERE id = ?",
            [(end.number, end.hash, end.row, end.closed, end.id) for end in self._by_name.values()],
        )


def find_chain(db: Transaction, name: str) -> ChainEnd | None:
    """Reads the end of a chain; None where it has not begun."""
    row = db.execute(
        "SELECT id, name, number, hash, last, closed FROM audit_chains WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else _end(*row)


def all_chains(db: Transaction) -> list[ChainEnd]:
    """Reads the ends of all chains."""
    rows = db.execute("SELECT id, name, number, hash, last, closed FROM audit_chains ORDER BY id")
    return [_end(*row) for row in rows]


def _end(ident: int, name: str, number: int, digest: bytes, row: int, closed: int) -> ChainEnd:
    return ChainEnd(ident, name, number, digest, row, bool(closed))


def chain_name(db: Transaction, connection: str, kind: ChainKind) -> str:
    """Returns the name of the chain that a connection's entries go to."""
    account = find_account(db, connection)
    if account is not None:
        return f"account:{account}/{kind}"
    # A connection of a name that was used before begins anew where the old one's chain was closed.
    names = (f"connection:{connection}{'' if number == 1 else f'~{number}'}/{kind}" for number in count(1))
    closed = "SELECT 1 FROM audit_chains WHERE name = ? AND closed"
    return next(name for name in names if db.execute(closed, (name,)).fetchone() is None)


def find_account(db: Transaction, connection: str) -> str | None:
    """Returns the account of a connection; None while it is not known."""
    row = db.execute("SELECT account FROM audit_accounts WHERE connection = ?", (connection,)).fetchone()
    return None if row is None else str(row[0])
