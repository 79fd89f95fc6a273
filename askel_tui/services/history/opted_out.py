"""Who has opted out and would be subscribed again: counted before a workflow goes live. Writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.core.addressing import addressed_identity
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.opt_outs import lifted_by
from askel_tui.core.planning.disposition import Known, dispose
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import Subscribe
from askel_tui.services.history.past_records import RECORDS_PER_PAGE, matching_records
from askel_tui.sync.instance import Instance
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client


@dataclass(frozen=True, slots=True)
class LiftedPreview:
    """How many people who have opted out, or are suppressed, would be subscribed again."""

    workflow: str
    version: int
    records: int
    people: int
    taken: bool
    """True if the activation takes these records; else they are the newest ones, as in a dry run."""

    def describe(self) -> str:
        """Describes it in a sentence."""
        people = pluralize(self.people, "person again who has", "people again who have")
        records = pluralize(self.records, "record")
        if self.taken:
            return f"{self.workflow} would subscribe {people} opted out, with {records}"
        return f"{self.workflow} would have subscribed {people} opted out, with its newest {records}"


class PeopleLifted(AskelError):
    """A question: people who have opted out would be subscribed again, and nobody gave their number."""

    exit_code = ExitCode.REFUSED

    def __init__(self, preview: LiftedPreview) -> None:
        super().__init__(
            f"{preview.describe()}: --resubscribe {preview.people} lets them; nothing was changed"
        )
        self.preview = preview


async def preview_lifted(
    instance: Instance, workflow: str, since: str | None, from_record: str | None
) -> LiftedPreview | None:
    """Counts who would be subscribed again by the records that an activation takes, and else by those that a dry run
    takes.

    None where no step has chosen that this may be: versions without the choice ask nobody. Raises `KlaviyoError`,
    `KeyNotStored`.
    """
    document = instance.workflow_document(workflow)
    applied = await instance.applied_version(workflow, document.version)
    if applied is None or not may_lift(applied):
        return None
    if since is None and from_record is None:
        from askel_tui.services.dry_run import dry_run

        totals = (await dry_run(instance, workflow)).totals
        return LiftedPreview(workflow, document.version, totals.records, totals.lifted, taken=False)
    kept = matching_records(instance, applied, since, from_record)
    return await count_lifted(instance, applied, (stored.record async for stored in kept))


def may_lift(applied: AppliedWorkflow) -> bool:
    """Checks whether a step has chosen that people who opted out may be subscribed again."""
    return any(
        isinstance(step, Subscribe) and step.choice not in (None, "refuse") for step in applied.workflow.steps
    )


async def count_lifted(
    instance: Instance, applied: AppliedWorkflow, records: AsyncIterator[Record]
) -> LiftedPreview:
    """Counts who would be subscribed again by records. Raises `KlaviyoError`, `KeyNotStored`."""
    from askel_tui.klaviyo.reads.catalog import read_catalog

    client = await instance.client(applied.workflow.connection)
    lists = (await read_catalog(client, sections=["lists"])).lists
    count = _Count(applied, {each.id: each.opt_in_process for each in lists}, instance.clock())
    async for record in records:
        planned = plan(record, applied)
        if planned is not None:
            count.records += 1
            count.waiting += [
                each for each in planned.operations if each.call == Call.BULK_SUBSCRIBE_PROFILES
            ]
        if len(count.waiting) >= RECORDS_PER_PAGE:
            await count.read(client)
    await count.read(client)
    return LiftedPreview(applied.workflow.name, applied.version, count.records, len(count.people), taken=True)


class _Count:
    """A count of people, whose opt-outs are read many at a time."""

    def __init__(self, applied: AppliedWorkflow, opt_in: dict[str, str | None], now: int) -> None:
        self.records = 0
        self.people: set[Identity] = set()
        self.waiting: list[Operation] = []
        self._opt_in = opt_in
        self._now = now
        self._limits = caps(applied.revision)

    async def read(self, client: Client) -> None:
        """Reads the opt-outs of those who wait to be counted."""
        from askel_tui.klaviyo.reads.profiles import read_opt_outs

        asked: Sequence[Operation] = self.waiting
        self.waiting = []
        shown = await read_opt_outs(client, {addressed_identity(each) for each in asked}, priority="bulk")
        for each in asked:
            opt_outs = shown[addressed_identity(each)]
            listed = (each.destination.id if each.destination else None) or ""
            known = Known(opt_in=self._opt_in.get(listed), opt_outs=opt_outs)
            found = dispose(each, known, self._now, self._limits)
            if found.kind == "send" and lifted_by(found.operation or each, opt_outs):
                self.people.add(each.profile)
