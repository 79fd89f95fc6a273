"""Budgets: never more calls than the account's windows hold (docs/klaviyo.md 5), so that we never cause a 429.

The process that owns an account (the daemon) has all of each window but a tenth; the others (console, command line)
share that tenth. Of the minute the owner takes the tenth too while nobody else does. The owner keeps the places of
its writes in memory, for the journal notes those requests anyway; all other places, and those of calls with few
places, go through the journal, which all processes see. A restart thereby forgets none of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import Extra, Window, endpoint
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.klaviyo.http import is_loopback
from askel_tui.klaviyo.rate_limits.call_queue import CallQueue, Priority
from askel_tui.klaviyo.rate_limits.slots import (
    MINUTE_S,
    Clock,
    MemorySlots,
    OwnerSlots,
    SharedSlots,
    SlotLedger,
    SystemClock,
    reserve_name,
)
from askel_tui.klaviyo.rate_limits.windows import WindowCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "BudgetsStayOn",
    "Clock",
    "Permit",
    "Priority",
    "RateLimiter",
    "SlotLedger",
    "budgets_switched_off",
    "used",
]

Role = Literal["owner", "guest"]
"""Who we are to an account: the process that owns it, or one beside it."""

MIN_DIVIDED_LIMIT = 10
"""A window with fewer places than this is not divided: all processes draw on it through the ledger."""

UNPACED_CALLS = frozenset({Call.BULK_IMPORT_PROFILES, Call.BULK_CREATE_EVENTS})
"""Calls that only backlogs use: no live record waits for a place of theirs, so they may take a minute's at once."""

UNANSWERED_SLOT_MS = 60_000
"""A place that was never answered counts as answered this long after its taking."""

OFF_VARIABLE = "ASKEL_BUDGETS"


class BudgetsStayOn(AskelError, ValueError):
    """Budgets were to be switched off towards an address that is not this machine."""

    exit_code = ExitCode.USAGE


def budgets_switched_off(address: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether budgets are off. Raises `BudgetsStayOn` where they may not be: the address is not loopback."""
    if environment.get(OFF_VARIABLE, "").lower() != "off":
        return False
    if not is_loopback(address):
        raise BudgetsStayOn(f"{OFF_VARIABLE}=off is for measuring on this machine; {address} is another one.")
    return True


class Permit:
    """A place for one call: taken on entering, answered on leaving. Between the two the call is made."""

    __slots__ = ("_burst_mark", "_priority", "_queues", "_slots")

    def __init__(self, buckets: Sequence[CallQueue], priority: Priority) -> None:
        self._queues = buckets
        self._priority = priority
        self._slots: list[tuple[CallQueue, int]] = []
        self._burst_mark = 0

    async def __aenter__(self) -> Permit:
        if not self._slots:
            try:
                for bucket in self._queues:
                    self._slots.append((bucket, await bucket.take(self._priority)))
            except BaseException:
                await self._release()
                raise
            self._burst_mark = self._queues[-1].burst_mark()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._release()

    async def take_now(self) -> bool:
        """Takes the place if there is room at once. To be entered, or left with `__aexit__`, afterwards."""
        for bucket in self._queues:
            token = await bucket.take_if_free(self._priority)
            if token is None:
                await self._release()
                return False
            self._slots.append((bucket, token))
        self._burst_mark = self._queues[-1].burst_mark()
        return True

    def note_response(self, status: int, remaining: int | None, retry_after: float | None) -> None:
        """Tells what Klaviyo said about the rate, which shows whether others spend the same budget."""
        if status == 429:
            for bucket, _ in self._slots:
                bucket.note_throttled(retry_after)
        elif remaining is not None:
            self._queues[-1].compare_remaining(self._burst_mark, remaining)

    async def _release(self) -> None:
        held, self._slots = self._slots, []
        for bucket, token in held:
            await bucket.release(token)


class RateLimiter:
    """All accounts' budgets, for one process and one event loop; in memory where there is no ledger."""

    def __init__(
        self,
        role: Role = "guest",
        ledger: SlotLedger | None = None,
        clock: Clock | None = None,
        *,
        paced: bool = True,
        on_other_client: Callable[[str, str], object] | None = None,
    ) -> None:
        """`paced` spreads the backlog's calls over the minute, so that live ones never wait for a new one to begin.

        `others` is told the account and the call whose budget somebody else is seen to use.
        """
        self._role = role
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._paced = paced
        self._on_other_client = on_other_client
        self._ignores_other_clients = False
        self._queues: dict[tuple[str, str], CallQueue] = {}
        self._queues_of_call: dict[tuple[str, str, str, tuple[Extra, ...]], tuple[CallQueue, ...]] = {}
        self._restored: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def ignore_other_clients(self, on: bool) -> None:
        """Whether a backlog keeps its pace where somebody else uses the same budget, or (the default) yields."""
        self._ignores_other_clients = on
        for bucket in self._queues.values():
            bucket.ignores_other_clients = on

    def permit(
        self,
        account: str,
        call: str,
        revision: str,
        extras: tuple[Extra, ...] = (),
        *,
        priority: Priority = "live",
    ) -> Permit:
        """A place for one call, to be entered with `async with`, which waits for room: live ones first, in
        order.

        Raises `LookupError` for a call that the revision does not have.
        """
        return Permit(self._queues_for(account, call, revision, extras), priority)

    async def try_take(
        self,
        account: str,
        call: str,
        revision: str,
        extras: tuple[Extra, ...] = (),
        *,
        priority: Priority = "live",
    ) -> Permit | None:
        """A place taken already, to be given to `Client.call` or entered; None where there is no room."""
        place = self.permit(account, call, revision, extras, priority=priority)
        return place if await place.take_now() else None

    def next_free(self, account: str, call: str, revision: str) -> float:
        """Seconds until a place is free, as far as is known; 0 for now."""
        return self._queues_for(account, call, revision, ())[-1].next_free()

    async def restore(self, account: str) -> None:
        """Reads what was sent to the account before this process started, so that it still counts."""
        if self._ledger is None or self._role != "owner":
            return
        now, wall = self._clock.now(), self._clock.wall()
        day_ms = 86_400_000
        for call, taken, answered in await self._ledger.taken_slots(
            account, wall - day_ms - UNANSWERED_SLOT_MS
        ):
            over = answered if answered is not None else taken + UNANSWERED_SLOT_MS
            self._restore_slot(account, call, now - (wall - over) / 1000)

    def usage(self) -> list[dict[str, Any]]:
        """How full the windows are that this process keeps: `{account, call, window_s, limit, used,
        foreign}`.

        `foreign` says that another integration was seen to spend the same budget within the last minute.
        """
        return [
            {"account": account, "call": call, **row}
            for (account, call), bucket in sorted(self._queues.items())
            for row in bucket.usage()
        ]

    async def aclose(self) -> None:
        """Ends what waits for a place."""
        for bucket in self._queues.values():
            await bucket.aclose()

    def _queues_for(
        self, account: str, call: str, revision: str, extras: tuple[Extra, ...]
    ) -> tuple[CallQueue, ...]:
        key = (account, call, revision, extras)
        chosen = self._queues_of_call.get(key)
        if chosen is None:
            one = endpoint(revision, call)
            # Extra buckets first and always in one order, so that nobody waits for another in a circle.
            parts = sorted((_extra_name(extra), extra.windows) for extra in extras)
            named = dict(parts)  # `include=lists` and `include=segments` are one bucket
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
        bucket = self._queues.get((account, name))
        if bucket is not None:
            bucket.tighten(mine)
            return bucket
        memory = WindowCounter(mine)
        minute = next((window.limit for window in windows if window.seconds == MINUTE_S), None)
        places: MemorySlots | SharedSlots
        if self._ledger is None or owned:
            for answered in sorted(self._restored.pop((account, call), ())):
                memory.record_answered(answered)
            if self._ledger is None or minute is None:
                places = MemorySlots(memory, self._clock)
            else:
                free = minute - _reserve(minute)
                places = OwnerSlots(memory, self._clock, self._ledger, account, call, free)
        else:
            beside = (call, minute - _margin(minute)) if guest and minute is not None else None
            places = SharedSlots(self._ledger, account, name, memory, self._clock, beside)
        tell = partial(self._on_other_client, account, call) if self._on_other_client is not None else None
        bucket = CallQueue(
            places, self._clock, paced=self._paced, unpaced=call in UNPACED_CALLS, on_other_client=tell
        )
        bucket.ignores_other_clients = self._ignores_other_clients
        self._queues[account, name] = bucket
        return bucket

    def _share(self, window: Window, *, owned: bool) -> Window:
        if self._role == "guest":
            return Window(_reserve(window.limit), window.seconds)
        # What the owner keeps in memory it may take from the minute's reserve too, as long as no guest does.
        kept = _margin(window.limit) if owned and window.seconds == MINUTE_S else _reserve(window.limit)
        return Window(window.limit - kept, window.seconds)

    def _restore_slot(self, account: str, call: str, answered: float) -> None:
        bucket = self._queues.get((account, call))
        if bucket is None:
            self._restored[account, call].append(answered)
        else:
            bucket.record_answered(answered)


def used(
    places: Iterable[tuple[str, int, int | None]], account: str, revision: str, now: int
) -> list[dict[str, Any]]:
    """How full an account's windows are by its places in the ledger, whichever process took them.

    The rows are those of `RateLimiter.usage`, against Klaviyo's own limits. `now` is in milliseconds since 1970.
    """
    by_call: defaultdict[str, list[int]] = defaultdict(list)
    for call, taken, answered in places:
        over = answered if answered is not None else min(now, taken + UNANSWERED_SLOT_MS)
        by_call[call.removesuffix(reserve_name(""))].append(over)
    rows = []
    for call, times in sorted(by_call.items()):
        try:
            windows = endpoint(revision, call).windows
        except LookupError:
            continue  # a bucket of a query parameter
        for window in windows:
            count = sum(1 for over in times if over > now - window.seconds * 1000)
            rows.append(
                {
                    "account": account,
                    "call": call,
                    "window_s": window.seconds,
                    "limit": window.limit,
                    "used": count,
                }
            )
    return rows


def _reserve(limit: int) -> int:
    """A tenth, for processes beside the owner."""
    return max(1, limit // 10)


def _margin(limit: int) -> int:
    """What nobody takes, for the moment in which owner and guest do not see each other's places yet."""
    return max(1, limit // 100)


def _extra_name(extra: Extra) -> str:
    """The extra bucket's name: Klaviyo shares it between all endpoints that take the parameter."""
    return extra.parameter if extra.parameter == "include" else extra.value
