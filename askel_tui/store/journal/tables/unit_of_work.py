"""The unit of work of one write to the journal: its changes are gathered, and written once at its end."""

from __future__ import annotations

from types import TracebackType

from askel_tui.store.journal.tables.audit.chain import AuditChain
from askel_tui.store.journal.tables.counters import CounterChanges
from askel_tui.store.journal.transaction import Transaction


class UnitOfWork:
    """A write's transaction and time, its changes of counters and its audit entries.

    Used as a context; at its end counters and entries are written, unless there was an error.
    """

    def __init__(self, db: Transaction, now: int) -> None:
        self.db = db
        self.now = now
        self.counters = CounterChanges()
        self.audit = AuditChain(db, now)

    def __enter__(self) -> UnitOfWork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.counters.write(self.db)
            self.audit.flush()
