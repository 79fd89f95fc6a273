"""Polling of import jobs until they end (docs/klaviyo.md 2.6)."""

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
from askel_tui.sync.timing import Timing

log = logging.getLogger(__name__)

MAX_SLOW_POLL_INTERVAL_S = 60.0
"""The longest time between two polls of a job that takes hours, in seconds."""

POLL_BACKOFF_FACTOR = 1.2
"""The factor by which each wait for an unknown job is longer than the one before."""

MAX_NEWEST_JOBS = 100
"""The number of an account's newest jobs that are searched."""

MAX_CLOCK_SKEW_MS = 600_000
"""The largest difference between Klaviyo's clock and ours, in milliseconds."""

RUNNING_STATES, ENDED_STATES = ("queued", "processing"), ("complete", "cancelled")

PASSING_ERRORS = (Unavailable, RateLimited, UnreadableResponse)
"""The errors of a poll after which polling goes on: the jobs run without being polled."""

MAX_UNREADABLE_PAGES = 5
"""The number of times that errors of a job may come as no page, or in a circle, before they are given up."""

OnSlow = Callable[[], Awaitable[None]]
"""A function that is called once, where a job has not ended after some time."""


@dataclass(slots=True)
class _PolledJob:
    end: asyncio.Future[Mapping[str, Any]]
    """The attributes of the job once it has ended."""
    since: float
    """The time of the first poll, on the event loop's clock."""
    waiters: int = 0


class JobPoller:
    """A poller of the import jobs of a connection. One read of the account's newest jobs serves all of them.

    To ask for each by itself would use up its 150 calls a minute.
    """

    def __init__(self, client: Client, timing: Timing) -> None:
        self._client = client
        self._timing = timing
        self._jobs: dict[str, _PolledJob] = {}
        self._polling: asyncio.Task[None] | None = None
        self._job_added = asyncio.Event()

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    async def wait_until_ended(self, job: str, on_slow: OnSlow, slow_after_s: float) -> Mapping[str, Any]:
        """Waits for the end of a job, however long that takes, and returns its attributes; `on_slow` is called after
        a time.

        Raises `NotInAccount` for a job that is gone, and another `KlaviyoError` where it may not be read.
        """
        loop = asyncio.get_running_loop()
        polled = self._jobs.setdefault(job, _PolledJob(loop.create_future(), loop.time()))
        polled.waiters += 1
        self._job_added.set()
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            await asyncio.wait({polled.end}, timeout=slow_after_s)
            if not polled.end.done():
                await on_slow()
                await asyncio.wait({polled.end})
            return polled.end.result()
        finally:
            polled.waiters -= 1
            if not polled.waiters:
                del self._jobs[job]
            if not self._jobs and self._polling is not None:
                self._polling.cancel()
                self._polling = None

    async def read_errors(self, job: str) -> list[Mapping[str, Any]]:
        """Reads the errors of the rows that a job refused. Raises `KlaviyoError` where they can't be read for good."""
        wait, unreadable = self._timing.first_poll_s, 0
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

    async def _poll(self) -> None:
        """Polls until no job is left. The end of a job is seen within about a fifth of its time."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timing.first_poll_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._job_added.wait()
            self._job_added.clear()
            # A job that is added does not delay the next poll: other jobs may end earlier.
            due = min(due, loop.time() + self._timing.first_poll_s)
            if loop.time() < due:
                continue
            age = loop.time() - max(each.since for each in self._jobs.values())
            due = loop.time() + poll_interval_s(age, self._timing)
            try:
                await self._poll_once()
            except PASSING_ERRORS as error:
                log.info("the account's import jobs can't be read now: %s", error)
            except Exception as error:
                # The error is handed to every caller that waits for a job.
                for each in self._jobs.values():
                    if not each.end.done():
                        each.end.set_exception(error)

    async def _poll_once(self) -> None:
        unseen = set(self._jobs)
        try:
            query = {"sort": "-created_at"}
            async for resource in self._client.pages(
                Call.GET_BULK_IMPORT_PROFILES_JOBS, query=query, limit=MAX_NEWEST_JOBS
            ):
                job = str(resource.get("id"))
                if job in unseen:
                    unseen.discard(job)
                    self._note_attributes(job, attributes_of(resource))
        except UnreadableResponse as error:
            log.info("the account's import jobs are asked for one by one: %s", error)
        for job in unseen:
            # The job is not among the newest ones any more, or their page could not be read.
            try:
                response = await self._client.call(Call.GET_BULK_IMPORT_PROFILES_JOB, ids={"job_id": job})
            except NotInAccount as error:
                self._note_missing(job, error)
            else:
                self._note_attributes(job, attributes_of(resource_of(response.body)))

    def _note_attributes(self, job: str, attributes: Mapping[str, Any]) -> None:
        polled = self._jobs.get(job)
        if polled is not None and not polled.end.done() and attributes.get("status") in ENDED_STATES:
            polled.end.set_result(attributes)

    def _note_missing(self, job: str, error: NotInAccount) -> None:
        polled = self._jobs.get(job)
        if polled is None or polled.end.done():
            return
        # A job that was made just now may not show yet.
        if asyncio.get_running_loop().time() - polled.since >= self._timing.job_visible_after_s:
            polled.end.set_exception(error)


async def wait_for_possible_jobs(
    client: Client,
    opened: int,
    lost: int,
    rows: int,
    known: Container[object],
    on_slow: OnSlow,
    slow_after_s: float,
    timing: Timing,
) -> None:
    """Waits until no job runs any more that a request with `rows` rows may have made, however long that takes.

    The request was opened at `opened`, and known to have no answer at `lost`, in milliseconds since 1970. Jobs in
    `known` are of other requests. `on_slow` is called after a time. Raises `KlaviyoError` where the account's jobs may
    not be read, and `UnreadableResponse` where they still are no pages after that time.
    """
    loop = asyncio.get_running_loop()
    began, wait, slow = loop.time(), timing.first_poll_s, False
    while True:
        try:
            running = await _possible_job_runs(client, opened, lost, rows, known)
        except PASSING_ERRORS as error:
            if slow and isinstance(error, UnreadableResponse):
                raise
            log.info("the account's import jobs can't be read now: %s", error)
            running = True
        waited = loop.time() - began
        if not running and waited >= timing.job_visible_after_s:
            return
        if not slow and waited >= slow_after_s:
            slow = True
            await on_slow()
        await asyncio.sleep(wait if running else timing.job_visible_after_s)
        wait = min(wait * POLL_BACKOFF_FACTOR, _max_interval_s(waited, timing))


def poll_interval_s(age: float, timing: Timing) -> float:
    """Returns the seconds to wait before the next poll of a job that has run for `age` seconds."""
    return min(max(timing.first_poll_s, age / 5), _max_interval_s(age, timing))


def _max_interval_s(age: float, timing: Timing) -> float:
    return max(timing.max_poll_interval_s, min(age / 100, MAX_SLOW_POLL_INTERVAL_S))


async def _possible_job_runs(
    client: Client, opened: int, lost: int, rows: int, known: Container[object]
) -> bool:
    jobs = client.pages(
        Call.GET_BULK_IMPORT_PROFILES_JOBS, query={"filter": any_of("status", RUNNING_STATES)}
    )
    async for resource in jobs:
        attributes = attributes_of(resource)
        of_another = str(resource.get("id")) in known or attributes.get("total_count") not in (None, rows)
        created = _created_ms(attributes.get("created_at"))
        in_time = created is None or opened - MAX_CLOCK_SKEW_MS <= created <= lost + MAX_CLOCK_SKEW_MS
        if in_time and not of_another:
            return True
    return False


def _created_ms(created_at: Any) -> float | None:
    """Parses the time at which a job was made, in milliseconds since 1970; None where that can't be read."""
    try:
        return datetime.fromisoformat(str(created_at)).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
