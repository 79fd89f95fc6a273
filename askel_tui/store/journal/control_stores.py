"""The journal's interface, second half: holds, failures, commands, rate-limit slots, the audit and notices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from askel_tui.store.journal.rows import (
    AuditEntry,
    AuditFilter,
    Command,
    Confirmation,
    Decision,
    DeliveryPosition,
    Failure,
    Hold,
    Notice,
    StoredOperation,
    UnconfirmedWrite,
    WarningNotice,
)


class HoldStore(Protocol):
    """Steps that may not send, and the operations that wait for them."""

    async def holds(self) -> list[Hold]:
        """All holds, oldest first, each with the number of operations that wait for it."""
        ...

    async def attempted_held_operations(self, workflow: str, step: str, limit: int) -> list[StoredOperation]:
        """Operations that a hold keeps and that came back from a request (`reason` says why), oldest first."""
        ...

    async def place_hold(self, hold: Hold, now: int) -> bool:
        """Holds a step: its waiting operations become held; audited and noticed. False if it was held already.

        A cause that needs a person replaces one that may end by itself (`in_doubt` replaces any other, any other
        replaces an `outage`), and is audited and noticed in turn.
        """
        ...

    async def release_one(self, workflow: str, step: str, now: int) -> int | None:
        """Lets the oldest operation of a held step wait again and gives its `seq`; the hold stays.

        An operation that is to be tried again is held again.
        """
        ...

    async def release_hold(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        """Ends a hold: its operations wait again, in order. Gives how many; 0 as well where there was no hold.

        Where the decision's detail names a cause, a hold that has another one by now stays.
        """
        ...

    async def discard_held(self, workflow: str, step: str, decision: Decision, now: int) -> int:
        """Discards the operations that a hold keeps, one audit entry each; the hold itself stays. Gives how many."""
        ...


class FailureStore(Protocol):
    """Records that failed in planning, and operations that failed."""

    async def failures(self, workflow: str | None = None, limit: int = 1000) -> list[Failure]:
        """Failures of a workflow, or of all, oldest first."""
        ...

    async def retry_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        """Lets failed operations (with the unattempted ones behind them) wait again; failed plans are made again.

        Gives how many failures.
        """
        ...

    async def discard_failures(self, ids: Sequence[int], decision: Decision, now: int) -> int:
        """Discards failures, one audit entry for each operation and each failed plan. Gives how many failures."""
        ...


class CommandStore(Protocol):
    """Commands to the daemon that owns the home."""

    async def submit_command(self, name: str, arguments: Mapping[str, Any], actor: str, now: int) -> int:
        """Leaves a command for the daemon; gives its id."""
        ...

    async def open_commands(self) -> list[Command]:
        """Commands that were not carried out yet, oldest first."""
        ...

    async def finish_command(
        self, command: int, state: Literal["done", "refused"], result: Mapping[str, Any]
    ) -> None:
        """Writes down how a command ended; the first result stands. Raises `LookupError`."""
        ...

    async def find_command(self, command: int) -> Command:
        """The command of this id. Raises `LookupError`."""
        ...


class SlotStore(Protocol):
    """Rate-limit slots that all processes share."""

    async def take_slot(
        self, account: str, call: str, windows: Sequence[tuple[int, int]], now: int
    ) -> tuple[int | None, int]:
        """Takes a slot in the windows [(limit, milliseconds)] of a call.

        Gives (slot id, 0), or (None, milliseconds to wait) where a window is full. A slot counts from its taking
        until its answer plus the window; one that was never answered counts as answered a minute after its taking.
        """
        ...

    async def release_slot(self, slot: int, now: int) -> None:
        """Notes that the slot's call was answered; only the first time counts."""
        ...

    async def taken_slots(self, account: str, since: int) -> list[tuple[str, int, int | None]]:
        """(call, taken, answered) of the account's slots, those of requests included, not older than `since`."""
        ...

    async def count_occupied_slots(self, account: str, call: str, since: int) -> int:
        """How many slots of a call were taken or answered at `since` or later."""
        ...


class AuditStore(Protocol):
    """The audit: one entry per write and per decision, chained by hashes."""

    async def write_decision(self, decision: Decision, now: int) -> None:
        """Writes an audit entry for a decision that changes nothing here."""
        ...

    async def audit_entries(
        self, wanted: AuditFilter, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[AuditEntry]:
        """Audit entries over `after` in order; `newest` gives the last `limit` of them, still in order."""
        ...

    def follow_audit(self, wanted: AuditFilter, after: int) -> AsyncIterator[AuditEntry]:
        """Audit entries as they come, whichever process writes them; ends when the journal is closed."""
        ...

    async def verify_audit(self) -> tuple[int, int | None]:
        """(entries checked, `seq` of the first one that breaks the chain or None)."""
        ...

    async def unconfirmed_writes(
        self, after: int, since: int, limit: int
    ) -> tuple[list[UnconfirmedWrite], int]:
        """Entries over `after`, not older than `since`, that wait for a confirmation, and the last `seq` looked at.

        All entries of consent, and of each call's events a few.
        """
        ...

    async def write_confirmations(self, confirmed: Sequence[Confirmation], now: int) -> int:
        """Writes one audit entry for each write that was read back; gives how many were new."""
        ...


class NoticeStore(Protocol):
    """Notices to the team, and how far they were delivered."""

    async def notices(self, after: int = 0) -> list[Notice]:
        """The notices with a higher `seq` than `after`, oldest first."""
        ...

    async def add_notice(self, notice: WarningNotice, decision: Decision | None, now: int) -> None:
        """Leaves a notice that no hold makes, with the decision behind it."""
        ...

    async def add_reminders(self, before: int, now: int) -> int:
        """Leaves a reminder for each cause of standing holds whose last notice is older than a time. Gives how many."""
        ...

    async def delivery(self, address: str, connection: str | None) -> DeliveryPosition:
        """How far notices were delivered to an address (a word that stands for it, never the address itself).

        One that was never seen begins with the oldest hold that stands (of the connection, if one is given).
        """
        ...

    async def forget_other_deliveries(self, addresses: Collection[str]) -> None:
        """Forgets how far notices were delivered to any other address."""
        ...

    async def save_delivery(self, address: str, delivery: DeliveryPosition) -> None:
        """Remembers how far notices were delivered to an address; it never goes back."""
        ...
