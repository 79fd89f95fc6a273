"""Outages: what Klaviyo does not answer, since when, and how much waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from askel_tui.contract.calls import Call
from askel_tui.store.locks import owner_pid
from askel_tui.sync.instance import Instance, account_key
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import format_age

JOB_READS = frozenset(
    {
        Call.GET_BULK_IMPORT_PROFILES_JOBS,
        Call.GET_BULK_IMPORT_PROFILES_JOB,
        Call.GET_ERRORS_FOR_BULK_IMPORT_PROFILES_JOB,
    }
)


@dataclass(frozen=True, slots=True)
class OutageStatus:
    """An account that is not answered since a time (milliseconds since 1970), and how many operations wait for it."""

    account: str
    connections: tuple[str, ...]
    calls: tuple[str, ...]
    since: int
    waiting: int


async def read_outages(instance: Instance) -> tuple[OutageStatus, ...]:
    """Reads what Klaviyo does not answer the daemon now; nothing is known without one."""
    silent = await instance.journal.unanswered_calls()
    if not silent or owner_pid(instance.home) is None:
        return ()
    waiting = await instance.journal.waiting_by_connection()
    names: dict[str, list[str]] = {}
    for doc in instance.state.connections():
        names.setdefault(account_key(doc), []).append(doc.name)
    found = []
    for account in dict.fromkeys(account for account, _, _ in silent):
        rows = [(call, since) for each, call, since in silent if each == account]
        connections, calls = tuple(names.get(account, ())), tuple(call for call, _ in rows)
        count = sum(waiting.get(name, 0) for name in connections)
        if JOB_READS.issuperset(calls):
            count = await instance.journal.count_carried(account, Call.BULK_IMPORT_PROFILES)
        found.append(OutageStatus(account, connections, calls, min(since for _, since in rows), count))
    return tuple(found)


def describe_outage(outage: OutageStatus, now: int) -> str:
    """Says in one sentence what is not answered."""
    what = "Klaviyo has not answered"
    if JOB_READS.issuperset(outage.calls):
        what = "import jobs can't be looked at, Klaviyo has not answered"
    waits = pluralize(outage.waiting, "operation waits", "operations wait")
    return f"{what} for {format_age(outage.since, now)}: {waits}"


def describe_outages(outages: Sequence[OutageStatus], now: int) -> str | None:
    """Says it of all accounts in one sentence; None while all is answered."""
    if not outages:
        return None
    longest = min(outages, key=lambda each: each.since)
    more = f" ({len(outages)} accounts)" if len(outages) > 1 else ""
    return describe_outage(longest, now) + more
