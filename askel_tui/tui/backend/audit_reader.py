"""A connection that reads the audit for the live tail, also while the daemon of another process writes it."""

from __future__ import annotations

from pathlib import Path

from askel_tui.store.journal.transaction import Transaction
from askel_tui.store.sqlite.connection import connect_tail, data_version


class AuditReader:
    """An open reading connection; one thread at a time may use it."""

    def __init__(self, journal: Path) -> None:
        """Opens the connection. Raises `JournalError`."""
        self._connection = connect_tail(journal)
        self.db: Transaction = self._connection
        """The connection through which the functions of `store.journal.tables.audit.tail` read."""

    def data_version(self) -> int:
        """Returns a number that changes when another connection has committed."""
        return data_version(self._connection)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
