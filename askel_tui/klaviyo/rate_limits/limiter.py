"""The rate limiter: keeps every call within the account's windows (docs/klaviyo.md 5), so that we never cause a 429.

The process that owns an account (the daemon) has all of each window except a tenth; the others (console, command line)
share that tenth. Of the minute the owner takes the tenth too while nobody else does. The owner keeps the slots of its
writes in memory, for the journal notes those requests anyway; all other slots, and those of calls with small limits,
go through the journal, which all processes see. So a restart forgets none of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Literal

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import Extra, Window, endpoint
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.klaviyo.addresses import is_loopback
from askel_tui.klaviyo.rate_limits.call_queue import CallQueue, WindowUsage
from askel_tui.klaviyo.rate_limits.slots import (
    MINUTE_S,
    Clock,
    ClockCheck,
    MemorySlots,
    OwnerSlots,
    SharedSlots,
    SlotLedger,
    SystemClock,
    reserve_name,
)
from askel_tui.klaviyo.rate_limits.windows import WindowCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from askel_tui.klaviyo.priority import Priority

Role = Literal["owner", "guest"]
"""The role of this process for an account: its owner, or another process of the same machine."""

MIN_DIVIDED_LIMIT = 10
"""The smallest limit that is divided between owner and guests; of smaller ones all processes take slots in the
ledger."""

UNPACED_CALLS = frozenset({Call.BULK_IMPORT_PROFILES, Call.BULK_CREATE_EVENTS})
"""The calls that only backlogs use: no live record waits for a slot of theirs, so they may take a minute's at once."""

UNANSWERED_SLOT_MS = 60_000
"""Time after which the slot of a call that was never answered counts as answered, in milliseconds."""

OFF_VARIABLE = "ASKEL_BUDGETS"


class BudgetsStayOn(AskelError, ValueError):
    """A refusal to switch the rate limits off towards an address that is not this machine."""

    exit_code = ExitCode.USAGE


def budgets_switched_off(address: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Checks whether rate limits are off. Raises `BudgetsStayOn` for an address that is not loopback."""
    if environment.get(OFF_VARIABLE, "").lower() != "off":
        return False
    if not is_loopback(address):
        raise BudgetsStayOn(f"{OFF_VARIABLE}=off is for measuring on this machine; {address} is another one.")
    return True


class Permit:
    """The permission to make one call: waits for its slots on entering, releases them on leaving."""

    __slots__ = ("_burst_mark", "_clock_check", "_priority", "_queues", "_slots")

    def __init__(self, queues: Sequence[CallQueue], priority: Priority, clock_check: ClockCheck) -> None:
        self._queues = queues
        self._clock_check = clock_check
        self._priority = priority
        self._slots: list[tuple[CallQueue, int]] = []
        self._burst_mark = 0

    async def __aenter__(self) -> Permit:
        try:
            await self._clock_check.check()
            for queue in self._queues:
                self._slots.append((queue, await queue.take(self._priority)))
        except BaseException:
            await self._release()
            raise
        self._burst_mark = self._queues[-1].burst_mark()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._release()

    def note_response(self, status: int, remaining: int | None, retry_after: float | None) -> None:
        """Notes what a response says about the rate, which shows whether another client uses the same limit."""
        if status == 429:
            for queue, _ in self._slots:
                queue.note_throttled(retry_after)
        elif remaining is not None:
            self._queues[-1].compare_remaining(self._burst_mark, remaining)

    async def _release(self) -> None:
        slots, self._slots = self._slots, []
        for queue, token in slots:
            await queue.release(token)


class RateLimiter:
    """The rate limits of all accounts, for one process and one event loop; in memory where there is no ledger."""

    def __init__(
        self,
        role: Role = "guest",
        ledger: SlotLedger | None = None,
        clock: Clock | None = None,
        *,
        paced: bool = True,
        on_other_client: Callable[[str, str], object] | None = None,
    ) -> None:
        """Makes the limiter of a process.

        `paced` spreads a backlog's calls over the minute, so that live ones never wait for a new one to begin.
        `on_other_client` gets the account and the call whose limit another client is seen to use.
        """
        self._role = role
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._paced = paced
        self._on_other_client = on_other_client
        self._ignores_other_clients = False
        self._clock_check = ClockCheck(ledger, self._clock)
        self._queues: dict[tuple[str, str], CallQueue] = {}
        self._queues_of_call: dict[tuple[str, str, str, tuple[Extra, ...]], tuple[CallQueue, ...]] = {}
        self._restored: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def ignore_other_clients(self, on: bool) -> None:
        """Sets whether a backlog keeps its pace while another client uses the same limit; by default it yields."""
        self._ignores_other_clients = on
        for queue in self._queues.values():
            queue.ignores_other_clients = on

    def permit(
        self,
        account: str,
        call: str,
        revision: str,
        extras: tuple[Extra, ...] = (),
        *,
        priority: Priority = "live",
    ) -> Permit:
        """Makes a permit for one call. Entering it with `async with` waits, live calls first, then in order.

        Raises `LookupError` for a call that the revision does not have.
        """
        return Permit(self._queues_for(account, call, revision, extras), priority, self._clock_check)

    async def restore(self, account: str) -> None:
        """Counts the calls that were sent to the account before this process started."""
        if self._ledger is None or self._role != "owner":
            return
        now, wall = self._clock.now(), self._clock.wall()
        await self._ledger.realign_slots(wall)
        since = wall - 86_400_000 - UNANSWERED_SLOT_MS
        for call, taken, answered in await self._ledger.taken_slots(account, since):
            # One that ends later than any can was noted before the clock was set back.
            over = min(answered, wall) if answered is not None else min(taken, wall) + UNANSWERED_SLOT_MS
            self._restore_slot(account, call, now - (wall - over) / 1000)

    def usage(self) -> list[WindowUsage]:
        """Returns the usage of the windows that this process keeps."""
        return [row for _, queue in sorted(self._queues.items()) for row in queue.usage()]

    async def aclose(self) -> None:
        """Cancels all waits for a permit."""
        for queue in self._queues.values():
            await queue.aclose()

    def _queues_for(
        self, account: str, call: str, revision: str, extras: tuple[Extra, ...]
    ) -> tuple[CallQueue, ...]:
        key = (account, call, revision, extras)
        chosen = self._queues_of_call.get(key)
        if chosen is None:
            one = endpoint(revision, call)
            # Extra limits first and always in one order, so that no two calls wait for each other.
            parts = sorted((_extra_name(extra), extra.windows) for extra in extras)
            named = dict(parts)  # `include=lists` and `include=segments` are one limit
            chosen = (
                *(self._queue(account, name, windows, journaled=False) for name, windows in named.items()),
                self._queue(account, call, one.windows, journaled=one.method != "GET"),
            )
            self._queues_of_call[key] = chosen
        return chosen

    def _queue(self, account: str, call: str, windows: Sequence[Window], *, journaled: bool) -> CallQueue:
        divided = min(window.limit for window in windows) >= MIN_DIVIDED_LIMIT
        guest = divided and self._role == "guest"
        name = reserve_name(call) if guest else call
        owned = divided and self._role == "owner" and journaled
        mine = [self._share(window, owned=owned) for window in windows] if divided else windows
        queue = self._queues.get((account, name))
        if queue is not None:
            queue.tighten(mine)
            return queue
        counter = WindowCounter(mine)
        minute = next((window.limit for window in windows if window.seconds == MINUTE_S), None)
        slots: MemorySlots | SharedSlots
        if self._ledger is None or owned:
            for answered in sorted(self._restored.pop((account, call), ())):
                counter.record_answered(answered)
            if self._ledger is None or minute is None:
                slots = MemorySlots(counter, self._clock)
            else:
                free = minute - _reserve(minute)
                slots = OwnerSlots(counter, self._clock, self._ledger, account, call, free)
        else:
            owner_limit = (call, minute - _margin(minute)) if guest and minute is not None else None
            slots = SharedSlots(self._ledger, account, name, counter, self._clock, owner_limit)
        report = partial(self._on_other_client, account, call) if self._on_other_client is not None else None
        queue = CallQueue(
            name, slots, self._clock, paced=self._paced, unpaced=call in UNPACED_CALLS, on_other_client=report
        )
        queue.ignores_other_clients = self._ignores_other_clients
        self._queues[account, name] = queue
        return queue

    def _share(self, window: Window, *, owned: bool) -> Window:
        if self._role == "guest":
            return Window(_reserve(window.limit), window.seconds)
        # For slots that it keeps in memory, the owner may use the minute's reserve too, as long as no guest does.
        kept = _margin(window.limit) if owned and window.seconds == MINUTE_S else _reserve(window.limit)
        return Window(window.limit - kept, window.seconds)

    def _restore_slot(self, account: str, call: str, answered: float) -> None:
        queue = self._queues.get((account, call))
        if queue is None:
            self._restored[account, call].append(answered)
        else:
            queue.record_answered(answered)


def _reserve(limit: int) -> int:
    """Returns the tenth of a limit that is left for other processes."""
    return max(1, limit // 10)


def _margin(limit: int) -> int:
    """Returns the slots that no process takes, for the moment in which owner and guest do not see each other's slots
    yet."""
    return max(1, limit // 100)


def _extra_name(extra: Extra) -> str:
    """Names an extra limit, which Klaviyo shares between all endpoints that take the parameter."""
    return extra.parameter if extra.parameter == "include" else extra.value
