"""Import jobs while they run: looked at until they are over (docs/klaviyo.md 2.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import NotInAccount, RateLimited, Unavailable, UnreadableResponse
from askel_tui.klaviyo.filters import any_of
from askel_tui.klaviyo.responses import attributes_of, resource_of

log = logging.getLogger(__name__)

FIRST_POLL_S, MAX_POLL_INTERVAL_S, MAX_SLOW_POLL_INTERVAL_S = 0.5, 5.0, 60.0
"""How long to wait before the first look at a job, and at most between two, in seconds; the last for jobs of hours."""

POLL_BACKOFF_FACTOR = 1.2
"""How much longer each wait for an unknown job is than the one before."""

JOBS_CALL, MAX_NEWEST_JOBS = Call.GET_BULK_IMPORT_PROFILES_JOBS, 100
"""The call that shows an account's jobs, newest first, and how many of them are looked through."""

JOB_VISIBLE_AFTER_S = 1.0
"""How long a request may take to show as a job."""

MAX_CLOCK_SKEW_MS = 600_000
"""How far Klaviyo's clock and ours may be apart, in milliseconds."""

RUNNING_STATES, ENDED_STATES = ("queued", "processing"), ("complete", "cancelled")

PASSING_ERRORS = (Unavailable, RateLimited, UnreadableResponse)
"""Trouble with a look at jobs: they go on without being looked at."""

MAX_UNREADABLE_PAGES = 5
"""How often errors of a job may come as no page at all, or in a circle, before they are given up."""

OnSlow = Callable[[], Awaitable[None]]
"""Called once, where a job is not over after some time."""


@dataclass(slots=True)
class _Followed:
    end: asyncio.Future[Mapping[str, Any]]
    """What the job will have come to."""
    since: float
    waiting: int = 0


class JobPoller:
    """The import jobs of a connection that are followed. One look at the account's newest jobs is for all of them:
    asking for each by itself would use its 150 calls a minute up.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._followed: dict[str, _Followed] = {}
        self._looking: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    def __contains__(self, job: object) -> bool:
        return job in self._followed

    async def wait_until_ended(self, job: str, slow: OnSlow, after: float) -> Mapping[str, Any]:
        """The attributes of a job once it is over, however long that takes; `slow` is called `after` so many seconds.

        Raises `NotInAccount` for a job that is gone, and another `KlaviyoError` where it may not be read.
        """
        loop = asyncio.get_running_loop()
        followed = self._followed.setdefault(job, _Followed(loop.create_future(), loop.time()))
        followed.waiting += 1
        self._more.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({followed.end}, timeout=after)
            if not followed.end.done():
                await slow()
                await asyncio.wait({followed.end})
            return followed.end.result()
        finally:
            followed.waiting -= 1
            if not followed.waiting:
                del self._followed[job]
            if not self._followed and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def read_errors(self, job: str) -> list[Mapping[str, Any]]:
        """What became of the rows that a job refused. Raises `KlaviyoError` where that can't be read for good."""
        wait, unreadable = FIRST_POLL_S, 0
        while True:
            try:
                pages = self._client.pages(Call.GET_ERRORS_FOR_BULK_IMPORT_PROFILES_JOB, ids={"id": job})
                return [attributes_of(each) async for each in pages]
            except PASSING_ERRORS as error:
                unreadable += isinstance(error, UnreadableResponse)
                if unreadable == MAX_UNREADABLE_PAGES:
                    raise
                log.info("the errors of an import job can't be read now: %s", error)
            await asyncio.sleep(wait)
            wait = min(wait * 2, MAX_SLOW_POLL_INTERVAL_S)

    async def _look(self) -> None:
        """Looks until nothing is followed any more. The end of a job is seen within about a fifth of its time."""
        loop = asyncio.get_running_loop()
        due = loop.time() + FIRST_POLL_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._more.wait()
            self._more.clear()
            # A job that comes along makes the next look no later: its end is not the first one to be seen.
            due = min(due, loop.time() + FIRST_POLL_S)
            if loop.time() < due:
                continue
            due = loop.time() + _wait(loop.time() - max(each.since for each in self._followed.values()))
            try:
                await self._look_once()
            except PASSING_ERRORS as error:
                log.info("the account's import jobs can't be read now: %s", error)
            except Exception as error:
                # Whoever waits has to know, whatever it is.
                for each in self._followed.values():
                    if not each.end.done():
                        each.end.set_exception(error)

    async def _look_once(self) -> None:
        unseen = set(self._followed)
        try:
            async for job in self._client.pages(
                JOBS_CALL, query={"sort": "-created_at"}, limit=MAX_NEWEST_JOBS
            ):
                ident = str(job.get("id"))
                if ident in unseen:
                    unseen.discard(ident)
                    self._seen(ident, attributes_of(job))
        except UnreadableResponse as error:
            log.info("the account's import jobs are asked for one by one: %s", error)
        for ident in unseen:
            # Many others were made since, or the page was no page.
            try:
                answer = await self._client.call(Call.GET_BULK_IMPORT_PROFILES_JOB, ids={"job_id": ident})
            except NotInAccount as error:
                self._gone(ident, error)
            else:
                self._seen(ident, attributes_of(resource_of(answer.body)))

    def _seen(self, job: str, told: Mapping[str, Any]) -> None:
        followed = self._followed.get(job)
        if followed is not None and not followed.end.done() and told.get("status") in ENDED_STATES:
            followed.end.set_result(told)

    def _gone(self, job: str, error: NotInAccount) -> None:
        followed = self._followed.get(job)
        if followed is None or followed.end.done():
            return
        # One that was made just now may not show yet.
        if asyncio.get_running_loop().time() - followed.since >= JOB_VISIBLE_AFTER_S:
            followed.end.set_exception(error)


def _wait(age: float) -> float:
    """How long to wait before the next look at a job that is so old, in seconds."""
    return min(max(FIRST_POLL_S, age / 5), max(MAX_POLL_INTERVAL_S, min(age / 100, MAX_SLOW_POLL_INTERVAL_S)))


async def wait_for_possible_jobs(
    client: Client, opened: int, lost: int, rows: int, followed: Container[object], slow: OnSlow, after: float
) -> None:
    """Returns once no job runs any more that a request may have made which had so many rows, however long that takes.

    It was opened at `opened`, and known to have no answer at `lost`. Jobs in `followed` are known to be of other
    requests. `slow` is called `after` so many seconds. Raises `KlaviyoError` where the account's jobs may not be read,
    and `UnreadableResponse` where they still are no pages after that time.
    """
    loop = asyncio.get_running_loop()
    began, wait, told = loop.time(), FIRST_POLL_S, False
    while True:
        try:
            running = await _running(client, opened, lost, rows, followed)
        except PASSING_ERRORS as error:
            if told and isinstance(error, UnreadableResponse):
                raise
            log.info("the account's import jobs can't be read now: %s", error)
            running = True
        waited = loop.time() - began
        if not running and waited >= JOB_VISIBLE_AFTER_S:
            return
        if not told and waited >= after:
            told = True
            await slow()
        await asyncio.sleep(wait if running else JOB_VISIBLE_AFTER_S)
        wait = min(
            wait * POLL_BACKOFF_FACTOR, max(MAX_POLL_INTERVAL_S, min(waited / 100, MAX_SLOW_POLL_INTERVAL_S))
        )


async def _running(client: Client, opened: int, lost: int, rows: int, followed: Container[object]) -> bool:
    found = client.pages(JOBS_CALL, query={"filter": any_of("status", RUNNING_STATES)})
    async for job in found:
        told = attributes_of(job)
        known = str(job.get("id")) in followed or told.get("total_count") not in (None, rows)
        made = _made(told.get("created_at"))
        if not known and (made is None or opened - MAX_CLOCK_SKEW_MS <= made <= lost + MAX_CLOCK_SKEW_MS):
            return True
    return False


def _made(created: Any) -> float | None:
    """When a job was made, in milliseconds since 1970; None where that can't be read."""
    try:
        return datetime.fromisoformat(str(created)).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
