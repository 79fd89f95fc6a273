"""The chains of the audit and their ends.

There is one for the home, and for each account two: of acceptances, and of writes and decisions. A connection whose
account is not known has two of its own; once the account is known they are closed, and an entry in the account's chain
(`join`) says where each ended. The entries of version 0.1.0 are a chain that is closed in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Literal, get_args

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
    """The ends of chains that a transaction appends to, and the row of the last entry; each is read once.

    A group commit has one of these for all of its writes (`Transaction.ends`): reading and writing the ends again for
    every one of them would take more statements than the entries.
    """

    def __init__(self, db: Transaction) -> None:
        self._db = db
        self._by_connection: dict[tuple[str | None, ChainKind], ChainEnd] = {}
        self._by_name: dict[str, ChainEnd] = {}
        self._row: int | None = None
        self._changed = False

    @property
    def row(self) -> int:
        """The row of the last entry of any chain."""
        if self._row is None:
            (self._row,) = self._db.execute("SELECT seq FROM audit_head").fetchone()
        return int(self._row)

    def of(self, connection: str | None, kind: ChainKind) -> ChainEnd:
        """Returns the end of a connection's chain; for None that of the home's."""
        end = self._by_connection.get((connection, kind))
        if end is None:
            name = HOME_CHAIN if connection is None else chain_name(self._db, connection, kind)
            end = self._by_connection[connection, kind] = self.named(name)
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

    def moved(self, row: int | None = None) -> None:
        """Takes note that entries were appended, the last one in a row of the audit if it is given."""
        self._changed = True
        if row is not None:
            self._row = row

    def save(self) -> None:
        """Writes the ends, where entries were appended since they were written."""
        if not self._changed:
            return
        self._changed = False
        self._db.executemany(
            "UPDATE audit_chains SET number = ?, hash = ?, last = ?, closed = ? WHERE id = ?",
            [(end.number, end.hash, end.row, end.closed, end.id) for end in self._by_name.values()],
        )
        if self._row is not None:
            self._db.execute("UPDATE audit_head SET seq = ?", (self._row,))

    def forget(self, connection: str) -> None:
        """Writes the ends, and forgets which chains are a connection's: they are about to be others."""
        self.save()
        for kind in get_args(ChainKind):
            self._by_connection.pop((connection, kind), None)


def open_ends(db: Transaction) -> ChainEnds:
    """Returns the ends that a write appends to: those of the group commit that it is a part of, or its own."""
    ends: ChainEnds | None = db.ends
    return ChainEnds(db) if ends is None else ends


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
