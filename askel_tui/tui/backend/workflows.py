"""Workflows, their records and the dry run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.tui.backend.base import Base, in_its_own_thread, writes

if TYPE_CHECKING:
    from askel_tui.core.problems import Problem
    from askel_tui.core.records.record import Record, RefusedLine
    from askel_tui.core.workflows.model import Workflow
    from askel_tui.services.dry_run_result import DryRun
    from askel_tui.services.ingest import IngestResult
    from askel_tui.services.workflows import ApplyResult
    from askel_tui.store.journal.rows import StoredRecord
    from askel_tui.store.state.documents import WorkflowDoc
    from askel_tui.sync.instance import Instance


@in_its_own_thread
class Workflows(Base):
    """Reads, stores and tries workflows; takes records in."""

    async def workflows(self) -> list[WorkflowDoc]:
        """The newest version of every workflow."""
        return await self._read(lambda instance: instance.state.workflows())

    async def workflow(self, name: str, version: int | None = None) -> WorkflowDoc:
        """One version, by default the newest. Raises `UnknownWorkflow`."""
        return await self._read(lambda instance: instance.workflow_document(name, version))

    async def versions(self, name: str) -> list[WorkflowDoc]:
        """All versions, oldest first. Raises `UnknownWorkflow`."""
        return await self._read(lambda instance: instance.state.versions(name))

    async def read_workflow(self, text: str, file: str) -> tuple[Workflow | None, list[Problem]]:
        """A workflow file's text, read by itself: all problems at once, never raises on bad YAML."""
        from askel_tui.core.workflows.loader import load_workflow

        return await self._read(lambda _: load_workflow(text, file))

    @writes
    async def apply(self, text: str, file: str) -> ApplyResult:
        """Stores a workflow as a draft version, checked against the live account. Raises `Unfit` with every problem."""
        from askel_tui.services import workflows

        return await self._do(lambda instance: workflows.apply(instance, text, file, self.actor))

    @writes
    async def activate(
        self, workflow: str, *, since: str | None = None, from_record: str | None = None
    ) -> Mapping[str, Any]:
        """Switches a workflow to its newest version."""
        from askel_tui.services import workflows

        return await self._do(
            lambda instance: workflows.activate(
                instance, workflow, self.actor, since=since, from_record=from_record
            )
        )

    # Records and the dry run.

    async def newest_records(
        self, connection: str, limit: int, *, events: Collection[str] | None = None, before: int | None = None
    ) -> list[StoredRecord]:
        """The newest records by receipt, newest first."""
        return await self._do(
            lambda instance: instance.journal.newest_records(connection, limit, events=events, before=before)
        )

    async def record(self, connection: str, record: str) -> StoredRecord | None:
        """A record by its id."""
        return await self._do(lambda instance: instance.journal.find_record(connection, record))

    async def dry_run(
        self,
        workflow: str,
        *,
        last: int | None = None,
        records: Sequence[Record] | None = None,
        version: int | None = None,
    ) -> DryRun:
        """A dry run of a workflow. Raises `DryRunImpossible`, `KlaviyoError`."""
        from askel_tui.services.dry_run import dry_run

        return await self._do(
            lambda instance: dry_run(instance, workflow, last=last, records=records, version=version)
        )

    async def read_records_file(self, file: Path) -> tuple[list[Record], list[RefusedLine]]:
        """The records of a JSONL or CSV file, and the lines that are none; nothing is kept. Raises `OSError`."""
        from datetime import UTC, datetime

        from askel_tui.core.records.files import read_csv, read_jsonl, read_lines
        from askel_tui.core.records.record import RefusedLine

        def work() -> tuple[list[Record], list[RefusedLine]]:
            read = read_csv if file.suffix.lower() == ".csv" else read_jsonl
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            with file.open("rb") as stream:
                found = [each for _, each in read(read_lines(stream), now=now)]
            records = [each for each in found if not isinstance(each, RefusedLine)]
            return records, [each for each in found if isinstance(each, RefusedLine)]

        return await asyncio.to_thread(work)

    @writes
    async def ingest(
        self,
        connection: str,
        file: Path,
        *,
        progress: Callable[[IngestResult], None] | None = None,
    ) -> IngestResult:
        """Takes in the records of a file; `progress` is called from another thread. Raises `OSError`."""
        from askel_tui.core.records.files import read_lines
        from askel_tui.services.ingest import ingest

        async def work(instance: Instance) -> IngestResult:
            with file.open("rb") as stream:
                kind: Literal["csv", "jsonl"] = "csv" if file.suffix.lower() == ".csv" else "jsonl"
                return await ingest(instance, connection, read_lines(stream), kind, progress=progress)

        return await self._do(work)
