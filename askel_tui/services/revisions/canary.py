"""The canary of a move: the first people are written at the new revision, and read back before all others follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.services.reconciling.events_back import EVENTS_SETTLING_MS
from askel_tui.services.reconciling.reconcile import reconcile
from askel_tui.services.reconciling.sent_records import find_sent
from askel_tui.services.revisions.rehearsal import current_versions
from askel_tui.store.journal.rows import AuditFilter
from askel_tui.store.locks import owner_pid
from askel_tui.sync.dispatching.canaries import MAX_CANARY_RECORDS
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import Instance
from askel_tui.text.numbers import pluralize

MAX_ENTRIES = 20_000
"""The number of audit entries since its beginning in which a canary's are looked for."""

MAX_WAIT_MS = 10 * 60_000
"""The time for which a canary waits for records, in milliseconds."""


class CanaryStopped(AskelError):
    """A canary of which the account does not hold what was sent: nobody else was moved."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What a canary showed: the records that were sent, the fields and events that were found as sent, and how many
    could not be read back, by the reason."""

    records: int = 0
    found: int = 0
    unchecked: Mapping[str, int] = field(default_factory=dict)


async def try_canary(
    instance: Instance, name: str, to: str, actor: str, *, accept_retired: bool
) -> CanaryResult | None:
    """Tries a move with the first people, while a daemon runs; None without one, or where nothing came in the time.

    Raises `CanaryStopped`, `KlaviyoError`, `CommandRefused`.
    """
    if owner_pid(instance.home) is None:
        return None
    at = instance.clock()
    arguments = {"connection": name, "to": to, "accept_retired": accept_retired, "at": at}
    why: list[str] = ["it was interrupted"]
    try:
        await submit(instance, "begin_canary", arguments, actor)
        by_workflow = await _wait_for_records(instance, name, to, at)
        result, why = await _read_back(instance, by_workflow)
    finally:
        # A move takes it over; whatever stops it leaves nobody behind at the new revision.
        if why:
            await submit(instance, "end_canary", {"connection": name, "at": at, "why": why}, actor)
    if why:
        raise CanaryStopped(
            f"the first {pluralize(result.records, 'record')} at {to} are not as they were sent, so {name} stays where "
            f"it is: {'; '.join(why)}"
        )
    return result if result.records else None


async def _wait_for_records(instance: Instance, name: str, to: str, since: int) -> dict[str, set[str]]:
    """Waits until enough records were sent whole at the new revision and can show; returns them by workflow."""
    known = await current_versions(instance, name)
    while True:
        sent: dict[str, dict[str, int]] = {}
        refused: list[str] = []
        wanted = AuditFilter(connection=name, since=since)
        for entry in await instance.journal.audit_entries(wanted, limit=MAX_ENTRIES):
            if entry.revision == to and entry.record and entry.workflow in known:
                sent.setdefault(entry.workflow, {})[entry.record] = entry.at
                if entry.status == "failed":
                    refused.append(f"{entry.workflow} step {entry.step}")
        if refused:
            raise CanaryStopped(
                f"{pluralize(len(refused), 'write')} of the first people failed at {to} ({refused[0]}), so {name} "
                f"stays where it is: `askel failed list {refused[0].partition(' ')[0]}` shows why"
            )
        found, last = {}, since
        for workflow, records in sent.items():
            # Of the others something is still to be sent.
            done = await find_sent(instance, workflow, sorted(records))
            if done:
                found[workflow] = set(done)
                last = max(last, *(records[each] for each in done))
        count, now = len(set().union(*found.values())), instance.clock()
        late = now - since >= MAX_WAIT_MS
        enough = late or count >= MAX_CANARY_RECORDS or not await _waits(instance, name)
        if found and enough and now - last >= EVENTS_SETTLING_MS:
            return found
        if late and not found:
            if sent:
                raise CanaryStopped(
                    f"nothing of the first people at {to} was sent whole within 10 minutes, so {name} stays where it is"
                )
            return {}
        await instance.journal.wait_for_change(0.5)


async def _waits(instance: Instance, name: str) -> bool:
    return (await instance.journal.waiting_by_connection()).get(name, 0) > 0


async def _read_back(
    instance: Instance, by_workflow: Mapping[str, set[str]]
) -> tuple[CanaryResult, list[str]]:
    """Compares what was sent with what the account holds; returns the result, and what is not as it was sent."""
    records, found, why = 0, 0, list[str]()
    unchecked: Counter[str] = Counter()
    for workflow, sent in by_workflow.items():
        back = await reconcile(instance, workflow, len(sent), sent)
        records += back.records
        found += back.same + back.events_found
        unchecked.update(back.events_unchecked)
        for count, words in (
            (back.different, "hold another value"),
            (back.missing, "are missing"),
            (back.events_missing, "are missing as events"),
        ):
            if count:
                why.append(f"workflow {workflow}: {count:,} of what was sent {words}")
    return CanaryResult(records, found, dict(unchecked)), why
