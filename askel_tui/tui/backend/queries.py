"""Reads of the journal and the state of an instance for the screens; called through `Backend.call`.

Nothing heavy is imported until a function runs in the backend's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askel_tui.text.times import format_age
from askel_tui.tui.backend.access import reads

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog
    from askel_tui.core.problems import Problem
    from askel_tui.core.workflows.model import Workflow
    from askel_tui.services.settings import Setting
    from askel_tui.store.journal.notice_rows import Notice
    from askel_tui.store.journal.rows import Failure, Hold, StoredRecord, WorkflowState
    from askel_tui.store.state.documents import ConnectionDoc, WorkflowDoc
    from askel_tui.sync.instance import Instance
    from askel_tui.tui.backend.audit_reader import AuditReader

MIN_SHOWN_AGE_MS = 60_000
"""The age from which on the oldest waiting record is shown at the top of the screen."""


@reads
async def home(instance: Instance) -> Path:
    """Returns the directory of all state."""
    return instance.home


@reads
async def audit_reader(instance: Instance) -> Callable[[], AuditReader]:
    """Returns a function that opens connections to the audit, each for one thread at a time; that raises
    `JournalError`."""
    from askel_tui.store.paths import journal_file
    from askel_tui.tui.backend.audit_reader import AuditReader

    return partial(AuditReader, journal_file(instance.home))


@reads
async def now(instance: Instance) -> int:
    """Returns the time of the instance's clock, in milliseconds since 1970."""
    return instance.clock()


@reads
async def daemon_running(instance: Instance) -> bool:
    """Checks whether some process works on the home."""
    from askel_tui.store.locks import owner_pid

    return owner_pid(instance.home) is not None


@reads
async def oldest_waiting_age(instance: Instance) -> str | None:
    """Returns the age of the oldest record that waits in any workflow, for people; None below a minute."""
    from askel_tui.sync.backlogs import read_backlogs

    found = [each.oldest for each in (await read_backlogs(instance)).values() if each.oldest is not None]
    now = instance.clock()
    return format_age(min(found), now) if found and now - min(found) >= MIN_SHOWN_AGE_MS else None


@reads
async def outage(instance: Instance) -> str | None:
    """Says in one sentence what Klaviyo does not answer; None while it answers."""
    from askel_tui.services.outages import describe_outages, read_outages

    return describe_outages(await read_outages(instance), instance.clock())


# Connections and workflows.


@reads
async def connections(instance: Instance) -> list[ConnectionDoc]:
    """Returns all connections by name."""
    return instance.state.connections()


@reads
async def catalog(instance: Instance, connection: str) -> Catalog | None:
    """Returns the catalog as it was last read."""
    return await asyncio.to_thread(instance.catalog, connection)


@reads
async def workflows(instance: Instance) -> list[WorkflowDoc]:
    """Returns the newest version of every workflow."""
    return instance.state.workflows()


@reads
async def workflow(instance: Instance, name: str) -> WorkflowDoc:
    """Returns the newest version of a workflow. Raises `UnknownWorkflow`."""
    return instance.workflow_document(name)


@reads
async def workflow_versions(instance: Instance, name: str) -> list[WorkflowDoc]:
    """Returns all versions of a workflow, oldest first. Raises `UnknownWorkflow`."""
    return instance.state.versions(name)


@reads
async def workflow_states(instance: Instance) -> list[WorkflowState]:
    """Returns the state of every workflow: what changes while it runs."""
    return await instance.journal.workflow_states()


@reads
async def parse_workflow(_: Instance, text: str, file: str) -> tuple[Workflow | None, list[Problem]]:
    """Parses the workflow in a file's text, and finds all problems with it."""
    from askel_tui.core.workflows.loader import load_workflow

    return load_workflow(text, file)


@reads
async def known_settings(instance: Instance) -> list[tuple[Setting, Any, bool]]:
    """Returns every setting, its present value, and whether somebody has set it."""
    from askel_tui.services.settings import SETTINGS

    made = instance.state.settings()
    return [(one, made.get(one.name, one.default), one.name in made) for one in SETTINGS.values()]


# The journal.


@reads
async def newest_records(
    instance: Instance, connection: str, limit: int, *, events: Collection[str] | None = None
) -> list[StoredRecord]:
    """Reads the newest records by receipt, newest first."""
    return await instance.journal.newest_records(connection, limit, events=events)


@reads
async def record(instance: Instance, connection: str, record_id: str) -> StoredRecord | None:
    """Returns a record by its id."""
    return await instance.journal.find_record(connection, record_id)


@reads
async def holds(instance: Instance) -> list[Hold]:
    """Reads all holds, oldest first."""
    return await instance.journal.holds()


@reads
async def failures(
    instance: Instance, workflow_name: str | None, limit: int, *, discarded: bool = False
) -> list[Failure]:
    """Reads failures, oldest first, of one workflow or of all (None); with `discarded` those that were discarded."""
    return await instance.journal.failures(workflow_name, limit, discarded=discarded)


@reads
async def notices(instance: Instance, after: int) -> list[Notice]:
    """Reads notices with a larger `seq` than `after`, oldest first: one of each incident."""
    found = await instance.journal.notices(after)
    return [each for each in found if not each.quiet or each.kind not in ("hold", "recovery")]
