"""Backfills: records of the past, of a file or of those that are kept, are written under one workflow.

They are listed in the journal first, and the engine plans them from there: a kill anywhere loses nothing. Other
workflows never see what came in with a backfill's file.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.planning.history import FlowStarts, History
from askel_tui.core.planning.plan import plan
from askel_tui.core.planning.steps import AppliedWorkflow
from askel_tui.core.records.files import NumberedRecord
from askel_tui.core.records.record import Record, RefusedLine
from askel_tui.services.history.call_plan import CallEstimate, estimate_calls
from askel_tui.services.history.opted_out import PeopleLifted, count_lifted, may_lift
from askel_tui.services.history.past_records import (
    REACH,
    RECORDS_PER_PAGE,
    FlowsAnswer,
    PastCount,
    PastPreview,
    PastRecords,
    now_of,
    parse,
    read_flow_starts,
)
from askel_tui.services.ingest import IngestResult, store_records
from askel_tui.services.record_files import FileOptions, RecordFile, open_record_file
from askel_tui.store.journal.backfill_rows import Backfill
from askel_tui.store.journal.rows import AcceptResult, Decision, WorkflowState
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339

JOURNAL = "the journal"
"""The source of a backfill from records that are kept."""


class BackfillImpossible(AskelError):
    """A backfill that can't be made; the message says why and what to do."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class BackfillSource:
    """Where a backfill's records come from: a file, or without one the journal; within times (RFC 3339)."""

    file: str | None = None
    options: FileOptions = field(default_factory=FileOptions)
    since: str | None = None
    until: str | None = None

    def label(self) -> str:
        """Describes the source for people."""
        bounds = [f"{word} {time}" for word, time in (("since", self.since), ("until", self.until)) if time]
        return " ".join([self.file or JOURNAL, *bounds])

    def digest(self) -> str:
        """Returns what tells this source from others. Raises `OSError`."""
        if self.file is None:
            content = ""
        else:
            with Path(self.file).open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256(repr((content, self.options, self.since, self.until)).encode()).hexdigest()

    def takes(self, record: Record) -> bool:
        """Checks whether a record's time is within the bounds."""
        time = parse(record.time)
        return (self.since is None or time >= parse(self.since)) and (
            self.until is None or time <= parse(self.until)
        )


@dataclass(frozen=True, slots=True)
class BackfillPreview:
    """What a backfill would do, the calls that it takes, and what of its source is no part of it."""

    source: str
    past: PastPreview
    calls: tuple[CallEstimate, ...]
    already_ran: int
    """The number of records that the workflow has run."""
    not_matching: int
    """The number of records of other triggers, whose `when` is false, or outside of the times."""
    refused: int
    """The number of lines that are no records."""
    asks: bool
    """True if it has to be said whether live flows start and people are subscribed."""

    @property
    def seconds(self) -> float:
        """The time that it takes at least."""
        return max((each.seconds for each in self.calls), default=0.0)


@dataclass(frozen=True, slots=True)
class PreparedBackfill:
    """A backfill that was previewed and can begin."""

    preview: BackfillPreview
    starts: FlowStarts
    source: BackfillSource
    state: WorkflowState
    applied: AppliedWorkflow


async def prepare(instance: Instance, workflow: str, source: BackfillSource) -> PreparedBackfill:
    """Reads a source and the account, and previews the backfill. Writes nothing.

    Raises `UnknownWorkflow`, `BackfillImpossible`, `KlaviyoError`, `KeyNotStored`, `OSError`, `UnreadableFile`.
    """
    document = instance.workflow_document(workflow)
    state = await instance.workflow_state(workflow)
    if state is None or state.status == "draft":
        raise BackfillImpossible(
            f"{workflow} is a draft: `askel workflow activate {workflow}` first, for records that come in from now on"
        )
    applied = await instance.applied_version(workflow, state.version)
    if applied is None:
        raise BackfillImpossible(f"version {state.version} of {workflow} can't be read: apply its file again")
    starts = await read_flow_starts(instance, document.connection)
    count, numbers = PastCount(applied, starts), {"ran": 0, "other": 0, "refused": 0}
    pages = _file_pages(instance, source) if source.file else _kept_pages(instance, applied, state)
    async for page, refused in pages:
        numbers["refused"] += refused
        known = await instance.journal.known_records(state.connection, [each.id for each in page])
        ran = await instance.journal.already_ran(workflow, list(known.values()))
        for record in page:
            if known.get(record.id) in ran:
                numbers["ran"] += 1
            elif not source.takes(record) or not count.add(record):
                numbers["other"] += 1
    past = count.result()
    is_past = past.oldest is not None and parse(past.oldest) < now_of(instance) - REACH
    preview = BackfillPreview(
        source.label(),
        past,
        estimate_calls(past.operations, applied.revision),
        numbers["ran"],
        numbers["other"],
        numbers["refused"],
        is_past and past.asks,
    )
    return PreparedBackfill(preview, starts, source, state, applied)


async def begin(
    instance: Instance,
    prepared: PreparedBackfill,
    actor: str,
    *,
    flows: FlowsAnswer | None = None,
    resubscribe: int | None = None,
    progress: Callable[[IngestResult], None] | None = None,
) -> Backfill:
    """Lists the records of a backfill and lets it run. Without an answer it is written as history.

    Raises `PastRecords` where flows would start and nobody said whether they may, and `PeopleLifted` where these then
    subscribe more people again than `resubscribe`; `OSError`, journal errors.
    """
    if flows is None and prepared.preview.asks:
        raise PastRecords(prepared.preview.past)
    if flows == "fire" and may_lift(prepared.applied):
        lifted = await count_lifted(instance, prepared.applied, _records(instance, prepared))
        if lifted.people > (resubscribe or 0):
            raise PeopleLifted(lifted)
    source, state, journal = prepared.source, prepared.state, instance.journal
    history = None if flows == "fire" else History(prepared.starts).encode()
    digest = await asyncio.to_thread(source.digest)
    wanted = Backfill(
        0, state.connection, state.workflow, source.label(), digest, "loading", history, actor, 0
    )
    detail = {"source": source.label(), "records": prepared.preview.past.records, "flows": flows or "history"}
    decision = Decision("backfill", actor, state.connection, state.workflow, detail=detail)
    backfill = await journal.begin_backfill(wanted, decision, instance.clock())
    if source.file is None:
        async for page, _ in _kept_pages(instance, prepared.applied, state):
            known = await journal.known_records(
                state.connection, [each.id for each in page if source.takes(each)]
            )
            ran = await journal.already_ran(state.workflow, list(known.values()))
            await journal.add_to_backfill(backfill, [seq for seq in known.values() if seq not in ran])
    else:

        async def accept(records: Sequence[Record]) -> list[AcceptResult]:
            return await journal.accept_for_backfill(backfill, state.connection, records, instance.clock())

        with _open(source) as file:
            found = _taken(file.read(to_rfc3339(instance.clock())), prepared)
            await store_records(
                instance, state.connection, found, actor=actor, progress=progress, accept=accept
            )
    await journal.set_backfill_state(backfill, "running", None, instance.clock())
    return next(each for each in await journal.backfills() if each.id == backfill)


async def _records(instance: Instance, prepared: PreparedBackfill) -> AsyncIterator[Record]:
    """Yields the records of a source that are within its bounds, whatever ran."""
    source = prepared.source
    pages = (
        _file_pages(instance, source)
        if source.file
        else _kept_pages(instance, prepared.applied, prepared.state)
    )
    async for page, _ in pages:
        for record in page:
            if source.takes(record):
                yield record


def _taken(found: Iterable[NumberedRecord], prepared: PreparedBackfill) -> Iterable[NumberedRecord]:
    """Passes on refused lines, and the records that the workflow takes."""
    for line, each in found:
        if isinstance(each, RefusedLine) or (
            prepared.source.takes(each) and plan(each, prepared.applied) is not None
        ):
            yield line, each


async def unfinished(
    instance: Instance, workflow: str, source: BackfillSource | None = None
) -> Backfill | None:
    """Finds the newest backfill of a workflow that was listed whole and has not ended; of a source, if one is given.

    Raises `OSError`.
    """
    digest = None if source is None else await asyncio.to_thread(source.digest)
    found = [
        each
        for each in await instance.journal.backfills()
        if each.workflow == workflow and each.state in ("running", "paused") and digest in (None, each.digest)
    ]
    return found[-1] if found else None


@contextmanager
def _open(source: BackfillSource) -> Iterator[RecordFile]:
    """Opens a source's file. Raises `OSError`, `UnreadableFile`."""
    assert source.file is not None
    with (
        Path(source.file).open("rb") as stream,
        open_record_file(stream, source.file, source.options) as file,
    ):
        yield file


async def _file_pages(instance: Instance, source: BackfillSource) -> AsyncIterator[tuple[list[Record], int]]:
    """Yields the records of a file in pages, each with the number of lines that are none."""
    with _open(source) as file:
        page: list[Record] = []
        refused = 0
        for _, each in file.read(to_rfc3339(instance.clock())):
            if isinstance(each, RefusedLine):
                refused += 1
                continue
            page.append(each)
            if len(page) == RECORDS_PER_PAGE:
                yield page, refused
                page, refused = [], 0
        yield page, refused


async def _kept_pages(
    instance: Instance, applied: AppliedWorkflow, state: WorkflowState
) -> AsyncIterator[tuple[list[Record], int]]:
    """Yields the kept records with the workflow's triggers in pages, up to the last one that it has passed."""
    position, connection = 0, state.connection
    while True:
        page = await instance.journal.records_after(
            connection, position, RECORDS_PER_PAGE, events=applied.workflow.triggers
        )
        yield [stored.record for stored in page if stored.seq <= (state.position or 0)], 0
        if len(page) < RECORDS_PER_PAGE:
            return
        position = page[-1].seq
