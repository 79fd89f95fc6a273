"""Import jobs while they run: looked at until they are over (contract.md 2.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import Throttled, Unavailable
from askel_tui.klaviyo.filters import any_of

log = logging.getLogger(__name__)

FIRST_LOOK_S, LONGEST_LOOK_S = 0.4, 5.0
"""How long to wait before the first look at a job, and at most between two."""

LATER = 1.2
"""How much longer each wait is than the one before: the end of a job is seen within a fifth of its time."""

JOB_PATIENCE_S = 900.0
"""How long a job may run before it is given up and its rows are sent again."""

SHOWING_S = 1.0
"""How long a request that had no answer may take to show as a job."""

SKEW_MS = 600_000
"""How far Klaviyo's clock and ours may be apart, in milliseconds."""

RUNNING = ("queued", "processing")


async def ended(client: Client, job: str) -> Mapping[str, Any] | None:
    """The attributes of a job once it is over; None when it is not after `JOB_PATIENCE_S`. Raises `KlaviyoError`."""
    loop = asyncio.get_running_loop()
    end, wait = loop.time() + JOB_PATIENCE_S, FIRST_LOOK_S
    while loop.time() < end:
        await asyncio.sleep(wait)
        wait = min(wait * LATER, LONGEST_LOOK_S)
        try:
            answer = await client.call("get_bulk_import_profiles_job", ids={"job_id": job})
        except (Unavailable, Throttled) as error:
            # It goes on without being looked at.
            log.info("import job %s can't be read now: %s", job, error)
            continue
        attributes: Mapping[str, Any] = ((answer.body or {}).get("data") or {}).get("attributes") or {}
        if attributes.get("status") in ("complete", "cancelled"):
            return attributes
    return None


async def over(client: Client, opened: int, rows: int, followed: Collection[str]) -> None:
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


async def _running(client: Client, opened: int, rows: int, followed: Collection[str]) -> bool:
    found = client.pages("get_bulk_import_profiles_jobs", query={"filter": any_of("status", RUNNING)})
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
