"""Commands to the running sync, such as pause or release. The owner of the instance executes them.

Without a daemon the command line takes the ownership lock and executes its command itself, by the same code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.hold_causes import Cause, hold_cause
from askel_tui.core.operations import Operation
from askel_tui.core.planning.history import History
from askel_tui.core.records.record import Record
from askel_tui.core.workflows.model import DIRECT_VERSION
from askel_tui.store.journal.backfill_rows import BackfillState
from askel_tui.store.journal.rows import AuditFilter, Command, Decision, Hold, WorkflowState, encode_run
from askel_tui.sync.engine import moving
from askel_tui.sync.engine.replanning import consents_from, replan, replan_revived
from askel_tui.sync.instance import Instance, KeyNotStored
from askel_tui.sync.planning.replanning import VersionUnreadable

UNSENT_QUESTION = (
    "operations wait unsent under older versions: --replan plans them anew under the new one, --keep-plans sends them "
    "as they were planned"
)


MAX_PASSED_AT_ONCE = 2_000
"""The number of writes since a pause that are looked at in one transaction, so that other writes get their turn."""


class CommandRefused(AskelError):
    """A command that can't be executed; the message says why and what to do."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class CommandEffects:
    """The effects of a command on the dispatchers: workflows whose operations are no longer to be sent."""

    stopped_workflows: tuple[str, ...] = ()


Arguments = Mapping[str, Any]
Executed = tuple[Mapping[str, Any], CommandEffects]
"""The result of a command for its caller, and its effects on the dispatchers."""

Handler = Callable[[Instance, Arguments, str], Awaitable[Executed]]


async def execute(instance: Instance, command: Command) -> CommandEffects:
    """Executes a command and writes its result; a refusal is a result too."""
    handler = HANDLERS.get(command.name)
    try:
        if handler is None:
            raise CommandRefused(f"this version does not know the command {command.name}")
        result, effects = await handler(instance, command.arguments, command.actor)
    except (CommandRefused, VersionUnreadable) as refused:
        await instance.journal.finish_command(command.id, "refused", {"why": str(refused)})
        return CommandEffects()
    await instance.journal.finish_command(command.id, "done", result)
    return effects


async def _workflow_state(instance: Instance, workflow: str) -> WorkflowState:
    found = await instance.workflow_state(workflow)
    if found is None:
        raise CommandRefused(f"there is no workflow {workflow}")
    return found


async def _activate(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    workflow = arguments["workflow"]
    state = await _workflow_state(instance, workflow)
    version = arguments["version"]
    position = state.position
    since = arguments.get("since")
    if arguments.get("from_record"):
        stored = await instance.journal.find_record(state.connection, arguments["from_record"])
        if stored is None:
            raise CommandRefused(f"no record {arguments['from_record']} is kept for {state.connection}")
        position, since = stored.seq - 1, None
    elif since:
        position = 0
    elif state.status == "draft" or position is None:
        position = await instance.journal.last_record_seq(state.connection)
        since = None
    else:
        since = state.since
    first = arguments.get("first")
    history = None if arguments.get("from_record") or arguments.get("since") else state.history
    if arguments.get("history"):
        newest = await instance.journal.last_record_seq(state.connection)
        history = replace(History.decode(arguments["history"]), until=newest).encode()
    paused = bool(arguments.get("paused"))
    active = replace(
        state,
        status="paused" if paused else "active",
        version=version,
        position=position,
        since=since,
        replan=None,
        first=first,
        history=history,
    )
    detail = {"version": version, "since": since, "position": position}
    if paused:
        detail["paused"] = True
    if first is not None:
        detail["first"] = first
    if arguments.get("history"):
        detail["history"] = True
    result: dict[str, Any] = {"workflow": workflow, "version": version, "state": active.status}
    unsent = arguments.get("unsent")
    if unsent is None and state.replan is None and await instance.journal.has_unsent(workflow, version):
        raise CommandRefused(UNSENT_QUESTION)
    if unsent == "keep":
        decision = Decision(
            "activate", actor, state.connection, workflow, detail={**detail, "unsent": unsent}
        )
        await instance.journal.set_workflow_state(active, decision, instance.clock())
    else:
        decision = Decision(
            "activate",
            actor,
            state.connection,
            workflow,
            detail={**detail, **({"unsent": unsent} if unsent else {})},
        )
        result["replanned"] = await replan(instance, active, decision, consents_from(arguments))
    return result, CommandEffects(stopped_workflows=(workflow,) if paused else ())


async def _replan(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    """Plans anew, under the version that runs, what a workflow has not sent under others."""
    workflow = arguments["workflow"]
    state = await _workflow_state(instance, workflow)
    if state.status == "draft":
        raise CommandRefused(f"{workflow} is a draft: `askel workflow activate {workflow}` activates it")
    detail, step = {"version": state.version}, arguments.get("step")
    decision = Decision("replan", actor, state.connection, workflow, step, detail)
    totals = await replan(instance, replace(state, replan=None), decision, consents_from(arguments), step)
    return {"workflow": workflow, "version": state.version, "replanned": totals}, CommandEffects()


async def _pause(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    workflow = arguments["workflow"]
    state = await _workflow_state(instance, workflow)
    if state.status == "draft":
        raise CommandRefused(f"{workflow} is a draft: there is nothing to pause")
    decision = Decision("pause", actor, state.connection, workflow)
    await instance.journal.set_workflow_state(replace(state, status="paused"), decision, instance.clock())
    return {"workflow": workflow, "state": "paused"}, CommandEffects(stopped_workflows=(workflow,))


async def _resume(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    workflow = arguments["workflow"]
    state = await _workflow_state(instance, workflow)
    if state.status != "paused":
        raise CommandRefused(f"{workflow} is {state.status}, not paused")
    decision = Decision("resume", actor, state.connection, workflow)
    resumed = replace(state, status="active", first=None)
    await _note_passed(instance, workflow)
    await instance.journal.set_workflow_state(resumed, decision, instance.clock())
    return {"workflow": workflow, "state": "active"}, CommandEffects()


async def _note_passed(instance: Instance, workflow: str) -> None:
    """Notes what was written while a workflow was paused, before it goes on."""
    while await instance.journal.note_passed(workflow, MAX_PASSED_AT_ONCE):
        pass


async def _pause_all(instance: Instance, _: Arguments, actor: str) -> Executed:
    """Pauses every active workflow; those that a person had paused before are not part of it."""
    states = await instance.journal.workflow_states()
    paused = [state for state in states if state.status == "active"]
    for state in paused:
        decision = Decision("pause", actor, state.connection, state.workflow, detail={"all": True})
        await instance.journal.set_workflow_state(replace(state, status="paused"), decision, instance.clock())
    names = [state.workflow for state in paused]
    return {"paused": names}, CommandEffects(stopped_workflows=tuple(names))


async def _resume_all(instance: Instance, _: Arguments, actor: str) -> Executed:
    """Resumes what was paused together; what a person paused by name stays paused."""
    resumed, kept = [], []
    for state in await instance.journal.workflow_states():
        if state.status != "paused":
            continue
        wanted = AuditFilter(workflow=state.workflow, kind="pause")
        entries = await instance.journal.audit_entries(wanted, limit=1, newest=True)
        detail = ((entries[0].response or {}).get("detail") or {}) if entries else {}
        if not detail.get("all"):
            kept.append(state.workflow)
            continue
        decision = Decision("resume", actor, state.connection, state.workflow, detail={"all": True})
        await _note_passed(instance, state.workflow)
        await instance.journal.set_workflow_state(replace(state, status="active"), decision, instance.clock())
        resumed.append(state.workflow)
    return {"resumed": resumed, "paused": kept}, CommandEffects()


async def _delete_workflow(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    workflow = arguments["workflow"]
    state = await _workflow_state(instance, workflow)
    decision = Decision("delete", actor, state.connection, workflow)
    await instance.journal.forget_workflow(workflow, decision, instance.clock())
    return {"workflow": workflow, "state": "deleted"}, CommandEffects(stopped_workflows=(workflow,))


async def _act_on_holds(
    instance: Instance, arguments: Arguments, actor: str, *, act: Literal["release", "discard"]
) -> Executed:
    names = ("workflow", "version", "step", "cause")
    asked = {name: arguments[name] for name in names if arguments.get(name) is not None}
    wanted = [
        hold
        for hold in await instance.journal.holds()
        if all(getattr(hold, name) == value for name, value in asked.items())
    ]
    if not wanted:
        raise CommandRefused("nothing is held there; `askel hold list` shows what is")
    if act == "release":
        undecided = [hold for hold in wanted if hold_cause(hold.cause).needs_replan]
        wanted = [hold for hold in wanted if hold not in undecided]
        if undecided and not wanted:
            first = undecided[0]
            raise CommandRefused(
                f"{first.workflow} step {first.step} can't be released: {hold_cause(first.cause).description}. "
                f"{hold_cause(first.cause).remedy}"
            )
    acted = []
    for hold in wanted:
        about = {"cause": hold.cause, "version": hold.version}
        decision = Decision(act, actor, hold.connection, hold.workflow, hold.step, about)
        do = instance.journal.release_hold if act == "release" else instance.journal.discard_held
        count = await do(hold.workflow, hold.step, decision, instance.clock(), version=hold.version)
        acted.append(
            {"workflow": hold.workflow, "version": hold.version, "step": hold.step, "operations": count}
        )
    if act == "release":
        held = {hold.key: hold.reasons for hold in await instance.journal.holds()}
        for row, hold in zip(acted, wanted, strict=True):
            # Another reason that the account shows holds the step again at the next look.
            left = held.get(hold.key, tuple(each for each in hold.others if each.cause != Cause.PERSON))
            row["stays"] = [asdict(reason) for reason in left]
    return {"holds": acted}, CommandEffects()


async def _hold(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    workflow, step = arguments["workflow"], arguments["step"]
    state = await _workflow_state(instance, workflow)
    now = instance.clock()
    placed = False
    queued = await instance.journal.versions_with_operations()
    for version in sorted({state.version} | {version for name, version in queued if name == workflow}):
        hold = Hold(state.connection, workflow, version, step, Cause.PERSON, f"held by {actor}", now)
        placed |= await instance.journal.add_hold(hold, now)
    return {"workflow": workflow, "step": step, "placed": placed}, CommandEffects(
        stopped_workflows=(workflow,)
    )


async def _retry(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    """Tries failures again: planned anew where a newer version runs by now, unless they are to go as planned."""
    decision = Decision("retry", actor, detail={"failures": list(arguments["ids"])})
    versions = {}
    for state in await instance.journal.workflow_states():
        known = state.status != "draft" and state.version != DIRECT_VERSION
        if known and await instance.applied_version(state.workflow, state.version) is not None:
            versions[state.workflow] = state.version
    if arguments.get("as_planned"):
        versions.clear()
    count = await instance.journal.retry_failures(
        arguments["ids"], decision, instance.clock(), versions=versions
    )
    return {"retried": count, "replanned": await replan_revived(instance, actor)}, CommandEffects()


async def _discard_failed(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    decision = Decision("discard_failed", actor, detail={"failures": list(arguments["ids"])})
    count = await instance.journal.discard_failures(arguments["ids"], decision, instance.clock())
    return {"discarded": count}, CommandEffects()


async def _write_directly(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    """Stores one record with its operations; without an engine in this process they are sent at once."""
    journal, connection, workflow = instance.journal, arguments["connection"], arguments["workflow"]
    record = Record(**arguments["record"])
    operations = [Operation.decode(encoded.encode()) for encoded in arguments["operations"]]
    await journal.accept_records(connection, [record], instance.clock())
    stored = await journal.find_record(connection, record.id)
    assert stored is not None
    state = WorkflowState(workflow, connection, "active", DIRECT_VERSION, position=stored.seq)
    await journal.set_workflow_state(state, None, instance.clock())
    run = encode_run(stored.seq, record.id, operations)
    waiting = await journal.commit_runs(state, [run], stored.seq, instance.clock())
    if not instance.owner:
        connected = (await instance.connected_by_name()).get(connection)
        if connected is None:
            raise CommandRefused(str(KeyNotStored(connection)))
        # Loads the HTTP client, which no other command needs.
        from askel_tui.sync.sending.sender import Sender

        sender = Sender(connected, journal, instance.clock)
        for each in waiting:
            if (await sender.send([each])).stopped:
                break
    return {"record": record.id}, CommandEffects()


async def _replay(instance: Instance, arguments: Arguments, actor: str) -> Executed:
    """Has the dispatchers load the events that were queued for a replay."""
    return {"events": arguments["events"]}, CommandEffects()


async def _change_backfill(
    instance: Instance, arguments: Arguments, actor: str, *, to: BackfillState
) -> Executed:
    """Pauses a backfill: nothing of it is planned or sent until it goes on."""
    wanted = arguments["backfill"]
    backfill = next((each for each in await instance.journal.backfills() if each.id == wanted), None)
    if backfill is None or backfill.ended is not None:
        raise CommandRefused(f"backfill {wanted} has ended" if backfill else f"there is no backfill {wanted}")
    if to == "running" and backfill.state == "loading":
        raise CommandRefused(f"backfill {wanted} is not read whole: give the same command as before again")
    detail = {"backfill": backfill.id, "source": backfill.source, "state": to}
    decision = Decision("backfill", actor, backfill.connection, backfill.workflow, detail=detail)
    await instance.journal.set_backfill_state(backfill.id, to, decision, instance.clock())
    stopped = (backfill.workflow,) if to == "paused" else ()
    return {"backfill": backfill.id, "state": to}, CommandEffects(stopped_workflows=stopped)


def _moves(move: Callable[[Instance, Arguments, str], Awaitable[Mapping[str, Any]]]) -> Handler:
    """Makes the handler of a command that moves a connection."""

    async def handle(instance: Instance, arguments: Arguments, actor: str) -> Executed:
        result = await move(instance, arguments, actor)
        return result, CommandEffects(tuple(each["workflow"] for each in result.get("held", ())))

    return handle


REPLANNING_COMMANDS = frozenset({"activate", "replan"})
"""The commands that may change what a workflow's waiting operations are: none may be in memory meanwhile."""

HANDLERS: Mapping[str, Handler] = {
    "activate": _activate,
    "replan": _replan,
    "pause": _pause,
    "resume": _resume,
    "pause_all": _pause_all,
    "resume_all": _resume_all,
    "forget": _delete_workflow,
    "hold": _hold,
    "release": partial(_act_on_holds, act="release"),
    "discard": partial(_act_on_holds, act="discard"),
    "retry": _retry,
    "discard_failed": _discard_failed,
    "direct": _write_directly,
    "replay": _replay,
    "pause_backfill": partial(_change_backfill, to="paused"),
    "resume_backfill": partial(_change_backfill, to="running"),
    "move_revision": _moves(moving.move_revision),
    "move_back": _moves(moving.move_back),
    "begin_canary": _moves(moving.begin_canary),
    "end_canary": _moves(moving.end_canary),
    "confirm_move": _moves(moving.confirm_move),
}
