"""Shared phones: decides, before operations are sent, about phone numbers that another person's profile has.

Who has a number is known from what was written and answered; one that was never met is read once, together with the
others that wait to be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from askel_tui.core.operations import Identity, fold_email
from askel_tui.core.planning.shared_phones import PhoneOwners, has_checkable_phone
from askel_tui.core.workflows.model import OnSharedPhone
from askel_tui.klaviyo.priority import Priority
from askel_tui.klaviyo.reads.profiles import read_phone_owners
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import SettledOperation, StoredOperation
from askel_tui.sync.connected import Connected
from askel_tui.sync.settlement.values import Settlement

MAX_REMEMBERED_OWNERS = 10_000
"""The number of phone numbers whose owners are remembered beside the journal."""

MAX_REMEMBERED_RECORDS = 10_000
"""The number of records that are remembered as counted."""


@dataclass(slots=True)
class DecidedPhones:
    """The operations that may be sent, by `seq`, and the settlements of the others."""

    sent: dict[int, StoredOperation] = field(default_factory=dict)
    ended: list[SettledOperation] = field(default_factory=list)
    behind: list[StoredOperation] = field(default_factory=list)
    """The operations behind a failed one of their record."""

    @property
    def settlement(self) -> Settlement | None:
        """The settlement of the operations that are not sent; None where all are."""
        return Settlement(self.ended, unattempted=self.behind) if self.ended else None

    def fail(self, stored: StoredOperation, detail: str) -> None:
        """Fails an operation; those behind it in its record fail with it."""
        record = (stored.workflow, stored.record_seq)
        if any(record == (each.operation.workflow, each.operation.record_seq) for each in self.ended):
            self.behind.append(stored)
        else:
            self.ended.append(SettledOperation(stored, "failed", detail=detail))


class SharedPhones:
    """Decides about the phone numbers of one connection's operations."""

    def __init__(self, to: Connected, journal: Journal) -> None:
        self._to = to
        self._journal = journal
        self._owners: dict[str, Identity] = {}
        """Who has a number, as the journal has it: a part of that, and never older."""
        self._phone_of: dict[str, str] = {}
        """The number of each e-mail address that has one."""
        self._counted: dict[tuple[str, int], None] = {}
        self._wanted: dict[str, asyncio.Future[Identity | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def decide(self, operations: Sequence[StoredOperation], priority: Priority) -> DecidedPhones:
        """Decides about the phone numbers of operations in their order.

        Raises `KlaviyoError` where it can't be read who has one.
        """
        decided = DecidedPhones({stored.seq: stored for stored in operations})
        concerned = [stored for stored in operations if has_checkable_phone(stored.operation.profile)]
        if not concerned:
            return decided
        policies = {
            stored.seq: self._to.on_shared_phone(stored.workflow, stored.version) for stored in concerned
        }
        phones = {stored.seq: stored.operation.profile.phone_number or "" for stored in concerned}
        if unmet := {phone for phone in phones.values() if phone not in self._owners}:
            stored_owners = await self._journal.phone_owners(self._to.name, unmet)
            self._remember(
                {phone: owner for phone, owner in stored_owners.items() if phone not in self._owners}
            )
        asked = {phones[seq] for seq, policy in policies.items() if policy != "go_on"} - self._owners.keys()
        read = await self._read(asked, priority) if asked else {}
        # Nothing else runs from here until memory knows: two that are sent at the same time must not both take the
        # number for theirs.
        owners = PhoneOwners(
            {phone: self._owners[phone] for phone in phones.values() if phone in self._owners}
        )
        owners.add_read(owner for phone, owner in read.items() if not owners.knows(phone))
        for stored in concerned:
            self._decide(stored, owners, policies[stored.seq], decided)
        if owners.changed:
            self._remember(owners.changed)
            await self._journal.save_phone_owners(self._to.name, list(owners.changed.values()))
        return decided

    def learn(self, shown: Iterable[Identity]) -> None:
        """Takes over from answers, which the journal has by now, who has a number."""
        self._remember({each.phone_number: each for each in shown if each.phone_number is not None})

    def _remember(self, owners: Mapping[str, Identity]) -> None:
        """Remembers owners as the journal does: who gets another number has the one before no more."""
        for phone, owner in owners.items():
            self._owners[phone] = owner
            if owner.email is None:
                continue
            email = fold_email(owner.email)
            before = self._phone_of.get(email)
            if before is not None and before != phone:
                self._owners.pop(before, None)
            self._phone_of[email] = phone
        while len(self._owners) > MAX_REMEMBERED_OWNERS:
            forgotten = self._owners.pop(next(iter(self._owners)))
            if forgotten.email is not None:
                self._phone_of.pop(fold_email(forgotten.email), None)

    def _decide(
        self, stored: StoredOperation, owners: PhoneOwners, policy: OnSharedPhone, decided: DecidedPhones
    ) -> None:
        decision = owners.decide(stored.operation, policy)
        kind, sentence = decision.warning or (None, "")
        record = (stored.workflow, stored.record_seq)
        if kind is not None:
            # What is counted are records, not their operations.
            kind = None if record in self._counted else kind
            self._counted[record] = None
            if len(self._counted) > MAX_REMEMBERED_RECORDS:
                del self._counted[next(iter(self._counted))]
        if decision.operation is None:
            del decided.sent[stored.seq]
            if decision.failure is not None:
                decided.fail(stored, decision.failure)
            else:
                decided.ended.append(SettledOperation(stored, "skipped", detail=decision.skip, warning=kind))
        elif decision.warning is not None:
            fewer = decision.operation is not stored.operation or stored.has_fewer_identifiers
            decided.sent[stored.seq] = replace(
                stored,
                operation=decision.operation,
                has_fewer_identifiers=fewer,
                warning=(kind, sentence),
            )

    async def _read(self, phones: Collection[str], priority: Priority) -> Mapping[str, Identity]:
        """Reads who has phone numbers, together with those of other operations. Raises `KlaviyoError`."""
        loop = asyncio.get_running_loop()
        futures = {phone: self._wanted.setdefault(phone, loop.create_future()) for phone in phones}
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_wanted(priority))
        owners = await asyncio.gather(*futures.values())
        return {phone: owner for phone, owner in zip(futures, owners, strict=True) if owner is not None}

    async def _read_wanted(self, priority: Priority) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                owners = await read_phone_owners(self._to.client, wanted, priority=priority)
            except BaseException as error:
                for future in wanted.values():
                    future.set_exception(error)
                    # Where nobody waits any more, nobody is to be told.
                    future.exception()
                if not isinstance(error, Exception):
                    raise
                continue
            for phone, future in wanted.items():
                future.set_result(owners.get(phone))
