"""Following of import jobs: known jobs until their end, and jobs whose answer was lost until they can't run any
more."""

from __future__ import annotations

from functools import partial

from askel_tui.klaviyo.errors import KeyRefused, KlaviyoError, ScopeMissing
from askel_tui.store.journal.interface import Clock, Journal
from askel_tui.sync.connected import Connected
from askel_tui.sync.import_jobs.polling import JobPoller, wait_for_possible_jobs
from askel_tui.sync.import_jobs.slow_jobs import JobWait, SlowJobs
from askel_tui.sync.settlement.bulk_calls import JobEnd


class JobFollower:
    """A follower of the import jobs of one connection. It raises no error of Klaviyo's."""

    def __init__(self, to: Connected, journal: Journal, clock: Clock) -> None:
        self._client = to.client
        self._timing = to.timing
        self._clock = clock
        self._poller = JobPoller(to.client, to.timing)
        self._slow = SlowJobs(to.name, journal, clock, to.timing.slow_job_after_ms)

    async def follow(self, wait: JobWait) -> JobEnd:
        """Polls a known job until it ends, however long that takes.

        It fails where it was cancelled or is gone. One that this key may not read can be followed with another.
        """
        assert wait.job is not None
        try:
            report_slow = partial(self._slow.report_slow, wait)
            attributes = await self._poller.wait_until_ended(
                wait.job, report_slow, self._slow.seconds_until_slow(wait)
            )
            complete = attributes.get("status") == "complete"
            failed = complete and attributes.get("failed_count")
            row_errors = await self._poller.read_errors(wait.job) if failed else []
        except (KeyRefused, ScopeMissing) as error:
            return JobEnd(wait.job, error=error)
        except KlaviyoError as error:
            end = JobEnd(wait.job, failure=f"the import job {wait.job} can't be read: {error}")
        else:
            failure = None if complete else "the import job was cancelled"
            end = JobEnd(wait.job, attributes, row_errors, failure)
        await self._slow.report_over(wait)
        return end

    async def wait_out(self, wait: JobWait, rows: int, reason: str) -> JobEnd:
        """Waits until no job runs that may have been made of a request with `rows` rows; then the rows are sent
        again.

        `reason` says why nobody knows whether such a job runs.
        """
        lost = self._clock()
        report_slow = partial(self._slow.report_slow, wait)
        after = self._slow.seconds_until_slow(wait)
        try:
            await wait_for_possible_jobs(
                self._client, wait.since, lost, rows, self._poller, report_slow, after, self._timing
            )
        except (KeyRefused, ScopeMissing) as error:
            return JobEnd(error=error)
        except KlaviyoError as error:
            end = JobEnd(error=error)
        else:
            end = JobEnd(failure=reason)
        await self._slow.report_over(wait)
        return end
