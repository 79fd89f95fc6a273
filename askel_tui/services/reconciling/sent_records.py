"""Finds the records with which a workflow is done: it ran them, and none of their operations waits or has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from askel_tui.core.operations import operation_id
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.instance import Instance
from askel_tui.text.times import to_rfc3339

SENT_STATUSES = ("written", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Sent:
    """When a workflow sent a record last (RFC 3339), and by which version."""

    version: int
    at: str

    def describe(self, today: str) -> str:
        """Describes it for people; `today` is a date of RFC 3339, which is left out."""
        day, _, time = self.at.partition("T")
        when = time[:5] if day == today else f"{day} {time[:5]}"
        return f"sent by version {self.version} at {when}: nothing would be sent"


async def find_sent(instance: Instance, workflow: str, records: Sequence[str]) -> dict[str, Sent]:
    """Finds the given records (by their ids) with which the workflow is done."""
    document = instance.workflow_document(workflow)
    versions = [each.version for each in instance.state.versions(workflow)]
    done = await instance.journal.finished_records(document.connection, workflow, records)
    found: dict[str, Sent] = {}
    for record in done:
        wanted = AuditFilter(connection=document.connection, workflow=workflow, record=record)
        entries = await instance.journal.audit_entries(wanted, newest=True)
        own = [entry for entry in entries if entry.operation and entry.step]
        last = [entry for entry in own if entry.status in SENT_STATUSES] or own
        if last:
            version = next(_versions_of(last[-1], document.connection, workflow, versions), None)
            if version is not None:
                found[record] = Sent(version, to_rfc3339(last[-1].at))
    return found


def _versions_of(entry: AuditEntry, connection: str, workflow: str, versions: Sequence[int]) -> Iterator[int]:
    """Finds the version that planned an entry's operation: its id is derived from it."""
    record, step = entry.record or "", entry.step or ""
    for version in versions:
        for each in (step, f"{step}.identify", f"{step}.list"):
            if entry.operation == operation_id(connection, workflow, version, record, each):
                yield version
