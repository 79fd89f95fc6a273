"""Bulk import jobs: queued → processing → complete | cancelled; rows fail later, one by one (docs/klaviyo.md 2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askel_tui.sandbox.jsonapi.errors import Refusal
from askel_tui.sandbox.jsonapi.ids_and_times import error_id, job_id
from askel_tui.sandbox.state import membership, profiles
from askel_tui.sandbox.state.model import IDENTIFIERS, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from askel_tui.sandbox.state.account import Account


def queue_import(
    account: Account,
    rows: list[dict[str, Any]],
    lists: list[str],
    now: float,
    job_time: float,
    fail: dict[str, str],
) -> Job:
    """Queues a job; it is processing after a third of its time, and complete at the end of it."""
    job = Job(job_id(account.id, now), "import", now, len(rows), due=now + job_time, lists=lists, rows=rows)
    account.jobs[job.id] = job
    account.mark_changed("jobs")
    account.schedule(now + job_time / 3, "job", ident=job.id, stage="start", fail={})
    account.schedule(now + job_time, "job", ident=job.id, stage="end", fail=fail)
    return job


def run_import_stage(account: Account, now: float, ident: str, stage: str, fail: Mapping[str, str]) -> None:
    """Starts a job, or at its end writes its rows."""
    job = account.jobs.get(ident)
    if job is None or job.status in ("complete", "cancelled"):
        return
    account.mark_changed("jobs")
    if stage == "start":
        job.status, job.started = "processing", now
        return
    for index, row in enumerate(job.rows):
        _import_row(account, job, index, row, now, fail)
    job.status, job.ended, job.rows = "complete", now, []
    job.started = job.started or now


def cancel_import(account: Account, job: Job, now: float) -> None:
    """Stops a job that is not done; none of its rows is written."""
    if job.status in ("queued", "processing"):
        job.status, job.ended = "cancelled", now
        account.mark_changed("jobs")


def _import_row(
    account: Account, job: Job, index: int, row: dict[str, Any], now: float, fail: Mapping[str, str]
) -> None:
    attributes = row["attributes"]
    planned = [fail[value] for kind in IDENTIFIERS if (value := attributes.get(kind)) in fail]
    code, title, pointer = "invalid", "Invalid input.", f"/data/attributes/profiles/data/{index}/attributes"
    detail = planned[0] if planned else ""
    if not planned:
        try:
            profile, _ = profiles.upsert_profile(
                account, row.get("id"), attributes, row.get("meta"), now, keep_nulls=True
            )
        except Refusal as refusal:
            code, title, detail = (refusal.errors[0][key] for key in ("code", "title", "detail"))
        else:
            job.completed += 1
            job.profiles.append(profile.id)
            for ident in job.lists:
                if ident in account.lists:
                    membership.add_member(account, account.lists[ident], profile, now)
                elif ident in account.deleted_lists:
                    # It was deleted while the job ran: where it comes back, the profile is on it.
                    membership.add_member(account, account.deleted_lists[ident], profile, now, fires=False)
            return
    job.failed += 1
    job.errors.append(
        {
            "id": error_id(),
            "code": code,
            "title": title,
            "detail": detail,
            "source": {"pointer": pointer},
            "original_payload": attributes,
        }
    )
