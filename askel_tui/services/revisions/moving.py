"""Moving a connection to another revision, back, and confirming it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from askel_tui.contract.revisions import NEWEST
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.services.connections import ConnectionRefused, check_retired, check_revision
from askel_tui.services.revisions.canary import try_canary
from askel_tui.services.revisions.rehearsal import last_rehearsal
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.engine.moving import unsayable_steps
from askel_tui.sync.instance import Instance
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import utc_day


class MoveUnconfirmed(AskelError):
    """A move, or the way back, that somebody has to agree to; `question` says what it does, without naming flags."""

    exit_code = ExitCode.REFUSED

    def __init__(self, question: str) -> None:
        super().__init__(f"{question} --yes says yes")
        self.question = question


async def move(
    instance: Instance,
    name: str,
    actor: str,
    *,
    to: str | None = None,
    accept_retired: bool = False,
    canary: bool = True,
    yes: bool = False,
) -> Mapping[str, Any]:
    """Moves a connection with all that waits, is held and failed; or confirms the move that was made last.

    Where a daemon runs the first people are moved and read back before all others follow. Raises `UnknownConnection`,
    `ConnectionRefused`, `RetiredRevision`, `MoveUnconfirmed`, `CanaryStopped`, `KlaviyoError`, `CommandRefused`.
    """
    document = instance.state.connection(name)
    before = document.before_move
    if before is not None and not before.confirmed:
        if to not in (None, document.revision):
            raise ConnectionRefused(
                f"{name} was moved to {document.revision} and that is not confirmed: `askel revision move {name}` "
                f"confirms it, `askel revision back {name}` takes it back"
            )
        if not yes:
            raise MoveUnconfirmed(
                f"Confirm the move of {name} from {before.revision} to {document.revision}? "
                "There is no way back from then on."
            )
        return {**await submit(instance, "confirm_move", {"connection": name}, actor), "confirmed": True}
    target = check_revision(to or NEWEST)
    if target == document.revision and accept_retired == document.accept_retired:
        raise ConnectionRefused(f"{name} is at {target} already")
    check_retired(target, accept_retired, utc_day(instance.clock()))
    if target != document.revision:
        rehearsed = await last_rehearsal(instance, document, target)
        if rehearsed is None:
            raise ConnectionRefused(
                f"nobody has tried the workflows of {name}, as they are now, at {target}: "
                f"`askel revision rehearse {name} --to {target}` does, and writes nothing"
            )
        if not yes:
            raise MoveUnconfirmed(await _move_question(instance, name, document.revision, target, rehearsed))
    tried = None
    if canary and target != document.revision:
        tried = await try_canary(instance, name, target, actor, accept_retired=accept_retired)
    arguments = {
        "connection": name,
        "to": target,
        "accept_retired": accept_retired,
        "at": instance.clock(),
    }
    moved = await submit(instance, "move_revision", arguments, actor)
    return {**moved, "confirmed": False, "canary": None if tried is None else asdict(tried)}


async def back(instance: Instance, name: str, actor: str, *, yes: bool = False) -> Mapping[str, Any]:
    """Moves a connection back to where it was, while nobody has confirmed the move.

    Raises `UnknownConnection`, `ConnectionRefused`, `MoveUnconfirmed`, `CommandRefused`.
    """
    document = instance.state.connection(name)
    before = document.before_move
    if document.canary is not None:
        ended = {"connection": name, "at": document.canary.since, "why": ["it was taken back"]}
        await submit(instance, "end_canary", ended, actor)
        return {"connection": name, "revision": document.revision}
    if before is None or before.confirmed:
        raise ConnectionRefused(
            f"{name} is at {document.revision}, and no move of it is unconfirmed: there is nothing to take back"
        )
    if not yes:
        left = await unsayable_steps(instance, name, before.revision)
        lost = "".join(
            f" {workflow} step {step}: {pluralize(count, 'operation')} can't be said there and would be held ({why})"
            for (workflow, _, step), (count, why) in left.items()
        )
        raise MoveUnconfirmed(f"Move {name} back from {document.revision} to {before.revision}?{lost}")
    return await submit(instance, "move_back", {"connection": name, "at": instance.clock()}, actor)


async def _move_question(
    instance: Instance, name: str, old: str, new: str, rehearsed: Mapping[str, Any]
) -> str:
    counts = [
        each
        for workflow, each in (await instance.journal.counts()).items()
        if workflow in rehearsed["workflows"]
    ]
    waiting, held = sum(each.waiting for each in counts), sum(each.held for each in counts)
    attention = rehearsed["attention"]
    found = f" The rehearsal found: {'; '.join(attention)}." if attention else " The rehearsal found it safe."
    return (
        f"Move {name} from {old} to {new}, with {pluralize(waiting, 'operation')} that wait and {held:,} held? "
        f"All of it is sent at {new} from then on; it can be taken back until it is confirmed.{found}"
    )
