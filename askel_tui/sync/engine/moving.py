"""The commands that move a connection to another revision, back, and confirm a move. A crash interrupts them anywhere.

What was planned is said in no revision's dialect, so all that waits, is held or failed stays as it is and is sent at
the connection's revision when its turn comes. What was sent is settled at the revision of its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from askel_tui.core.hold_causes import Cause
from askel_tui.core.requests.revision_differences import unsayable
from askel_tui.store.journal.rows import AuditFilter, Decision, Hold
from askel_tui.store.state.documents import BeforeMove, ConnectionDoc
from askel_tui.sync.instance import Instance

MOVE_KIND, BACK_KIND, CONFIRM_KIND = "revision_move", "revision_back", "revision_confirm"
"""The kinds of audit entries."""

CANARY_KIND, CANARY_END_KIND = "revision_canary", "revision_canary_end"
"""The kinds of the audit entries of a canary."""

OPERATIONS_PER_READ = 2_000


async def move_revision(instance: Instance, arguments: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
    """Moves a connection to a revision. Repeated after a crash, it goes on where it was."""
    document = instance.state.connection(arguments["connection"])
    at, to = int(arguments["at"]), str(arguments["to"])
    if document.before_move is None or document.before_move.moved != at:
        before = BeforeMove(revision=document.revision, accept_retired=document.accept_retired, moved=at)
        document = instance.state.change_connection(
            document.name,
            revision=to,
            accept_retired=bool(arguments["accept_retired"]),
            before_move=before,
            canary=None,
        )
    assert document.before_move is not None
    detail = {
        "from": document.before_move.revision,
        "to": document.revision,
        "accept_retired": document.accept_retired,
        "at": at,
    }
    return await _settle(instance, document, Decision(MOVE_KIND, actor, document.name, detail=detail))


async def begin_canary(instance: Instance, arguments: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
    """Has the first people of a connection written at another revision; all others stay where they are."""
    document = instance.state.connection(arguments["connection"])
    canary = {"to": arguments["to"], "accept_retired": arguments["accept_retired"], "since": arguments["at"]}
    if document.revision != arguments["to"]:
        instance.state.change_connection(document.name, canary=canary)
    detail = {"from": document.revision, "to": arguments["to"], "at": arguments["at"]}
    await _write_once(instance, Decision(CANARY_KIND, actor, document.name, detail=detail))
    states = await instance.journal.workflow_states()
    workflows = [each.workflow for each in states if each.connection == document.name]
    # They are read anew: the first people of what waits are the canary.
    return {"connection": document.name, "held": [{"workflow": each} for each in workflows]}


async def end_canary(instance: Instance, arguments: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
    """Ends a canary without a move: everybody is written where all others are."""
    document = instance.state.connection(arguments["connection"])
    if document.canary is not None and document.canary.since == arguments["at"]:
        instance.state.change_connection(document.name, canary=None)
    detail = {"why": list(arguments["why"]), "at": arguments["at"]}
    await _write_once(instance, Decision(CANARY_END_KIND, actor, document.name, detail=detail))
    return {"connection": document.name}


async def move_back(instance: Instance, arguments: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
    """Moves a connection back to the revision before its move; what that can't say is held."""
    document = instance.state.connection(arguments["connection"])
    at, now = int(arguments["at"]), document.before_move
    if now is not None and now.moved != at:
        # The way back keeps what is in doubt at the newer revision to be settled there; there is none further back.
        left = BeforeMove(
            revision=document.revision, accept_retired=document.accept_retired, moved=at, confirmed=True
        )
        document = instance.state.change_connection(
            document.name, revision=now.revision, accept_retired=now.accept_retired, before_move=left
        )
    assert document.before_move is not None
    detail = {"from": document.before_move.revision, "to": document.revision, "at": at}
    return await _settle(instance, document, Decision(BACK_KIND, actor, document.name, detail=detail))


async def confirm_move(instance: Instance, arguments: Mapping[str, Any], actor: str) -> Mapping[str, Any]:
    """Confirms a move: there is no way back from then on."""
    document = instance.state.connection(arguments["connection"])
    before = document.before_move
    if before is not None:
        confirmed = before.model_copy(update={"confirmed": True})
        instance.state.change_connection(document.name, before_move=confirmed.model_dump())
        detail = {"from": before.revision, "to": document.revision, "at": before.moved}
        await _write_once(instance, Decision(CONFIRM_KIND, actor, document.name, detail=detail))
    return {"connection": document.name, "revision": document.revision}


async def unsayable_steps(
    instance: Instance, connection: str, revision: str
) -> dict[tuple[str, int, str], tuple[int, str]]:
    """Finds the steps (workflow, version, step) with unsent operations that a revision can't say: how many, and why."""
    found: dict[tuple[str, int, str], tuple[int, str]] = {}
    after = 0
    while page := await instance.journal.queued_operations(connection, after, OPERATIONS_PER_READ):
        after = page[-1].seq
        for stored in page:
            # What failed is judged when it is tried again.
            why = None if stored.state == "failed" else unsayable(stored.operation, revision)
            if why is not None:
                key = (stored.workflow, stored.version, stored.operation.step)
                found[key] = found[key][0] + 1 if key in found else 1, why
    return found


async def _settle(instance: Instance, document: ConnectionDoc, decision: Decision) -> Mapping[str, Any]:
    """Holds what the revision can't say, ends the holds that were about the former one, and writes the decision."""
    left = await unsayable_steps(instance, document.name, document.revision)
    now = instance.clock()
    # Nothing is loaded meanwhile: what is released and can't be said is not sent before it is held again.
    for standing in await instance.journal.holds():
        over = standing.cause == Cause.RETIRED or (
            standing.cause == Cause.REVISION and standing.key not in left
        )
        if standing.connection == document.name and over:
            about = {"cause": standing.cause, "version": standing.version}
            workflow, version, step = standing.key
            release = Decision("release", decision.actor, document.name, workflow, step, about)
            await instance.journal.release_hold(workflow, step, release, now, version=version)
    for (workflow, version, step), (_, why) in left.items():
        hold = Hold(document.name, workflow, version, step, Cause.REVISION, why, now)
        await instance.journal.add_hold(hold, now)
    await _write_once(instance, decision)
    held = [
        {"workflow": workflow, "version": version, "step": step, "operations": count, "why": why}
        for (workflow, version, step), (count, why) in left.items()
    ]
    return {"connection": document.name, "revision": document.revision, "held": held}


async def _write_once(instance: Instance, decision: Decision) -> None:
    """Writes a decision, unless it was written before a crash."""
    wanted = AuditFilter(connection=decision.connection, kind=decision.kind)
    last = await instance.journal.audit_entries(wanted, limit=1, newest=True)
    written = ((last[0].response or {}).get("detail") or {}) if last else {}
    if written.get("at") != decision.detail["at"]:
        await instance.journal.write_decision(decision, instance.clock())
