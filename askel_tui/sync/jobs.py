"""Import jobs while they run: looked at until they are over (contract.md 2.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import Throttled, Unavailable
from askel_tui.klaviyo.filters import any_of

log = logging.getLogger(__name__)

FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 5.0
"""How long to wait before the first look at a job, and at most between two, in seconds."""

LATER = 1.2
"""How much longer each wait for an unknown job is than the one before."""

NEWEST, NEWEST_JOBS = "get_bulk_import_profiles_jobs", 100
"""The call that shows an account's jobs, newest first, and how many of them are looked through."""

JOB_PATIENCE_S = 900.0
"""How long a job may run before it is given up and its rows are sent again."""

SHOWING_S = 1.0
"""How long a request that had no answer may take to show as a job."""

SKEW_MS = 600_000
"""How far Klaviyo's clock and ours may be apart, in milliseconds."""

RUNNING, OVER = ("queued", "processing"), ("complete", "cancelled")


class Jobs:
    """The import jobs of a connection that are followed. One look at the account's newest jobs is for all of them:
    asking for each by itself would use its 150 calls a minute up.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._followed: dict[str, tuple[asyncio.Future[Mapping[str, Any]], float]] = {}
        """What each job will have come to, and since when it is followed."""
        self._looking: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    def __contains__(self, job: object) -> bool:
        return job in self._followed

    async def ended(self, job: str) -> Mapping[str, Any] | None:
        """The attributes of a job once it is over; None when it is not after `JOB_PATIENCE_S`.

        Raises `KlaviyoError` where it may not be read.
        """
        loop = asyncio.get_running_loop()
        end: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self._followed[job] = end, loop.time()
        self._more.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(JOB_PATIENCE_S):
                return await end
        except TimeoutError:
            return None
        finally:
            del self._followed[job]
            if not self._followed and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        """Looks until nothing is followed any more. The end of a job is seen within about a fifth of its time."""
        loop = asyncio.get_running_loop()
        while True:
            youngest = loop.time() - max(since for _, since in self._followed.values())
            self._more.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(FIRST_LOOK_S, youngest / 5), LONGEST_LOOK_S)):
                    await self._more.wait()
                    continue
            try:
                await self._look_once()
            except (Unavailable, Throttled) as error:
                # The jobs go on without being looked at.
                log.info("the account's import jobs can't be read now: %s", error)
            except Exception as error:
                # Whoever waits has to know, whatever it is.
                for end, _ in self._followed.values():
                    if not end.done():
                        end.set_exception(error)

    async def _look_once(self) -> None:
        unseen = set(self._followed)
        async for job in self._client.pages(NEWEST, query={"sort": "-created_at"}, limit=NEWEST_JOBS):
            ident = str(job.get("id"))
            if ident in unseen:
                unseen.discard(ident)
                self._seen(ident, job.get("attributes") or {})
        for ident in unseen:
            # Many others were made since.
            answer = await self._client.call("get_bulk_import_profiles_job", ids={"job_id": ident})
            self._seen(ident, ((answer.body or {}).get("data") or {}).get("attributes") or {})

    def _seen(self, job: str, attributes: Mapping[str, Any]) -> None:
        followed = self._followed.get(job)
        if followed is not None and not followed[0].done() and attributes.get("status") in OVER:
            followed[0].set_result(attributes)


async def over(client: Client, opened: int, rows: int, followed: Container[object]) -> None:
    """Returns once no job runs any more that a request may have made which was opened then, with so many rows.

    Jobs in `followed` are known to be of other requests. Gives up after `JOB_PATIENCE_S`. Raises `KlaviyoError`
    where the account's jobs may not be read.
    """
    loop = asyncio.get_running_loop()
    began, wait = loop.time(), FIRST_LOOK_S
    while loop.time() < began + JOB_PATIENCE_S:
        try:
            running = await _running(client, opened, rows, followed)
        except (Unavailable, Throttled) as error:
            log.info("the account's import jobs can't be read now: %s", error)
            running = True
        if not running and loop.time() >= began + SHOWING_S:
            return
        await asyncio.sleep(wait if running else SHOWING_S)
        wait = min(wait * LATER, LONGEST_LOOK_S)


async def _running(client: Client, opened: int, rows: int, followed: Container[object]) -> bool:
    found = client.pages(NEWEST, query={"filter": any_of("status", RUNNING)})
    async for job in found:
        attributes = job.get("attributes") or {}
        known = job.get("id") in followed or attributes.get("total_count") not in (None, rows)
        if not known and _made(attributes.get("created_at")) >= opened - SKEW_MS:
            return True
    return False


def _made(created: Any) -> float:
    """When a job was made, in milliseconds since 1970; what can't be read may be of any time."""
    try:
        return datetime.fromisoformat(str(created)).timestamp() * 1000
    except ValueError:
        return float("inf")
