"""Submitting commands: the daemon executes them if one runs, else this process does, by the same code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from askel_tui.core.exit_codes import AskelError
from askel_tui.store.errors import AlreadyOwned
from askel_tui.store.journal.rows import Command
from askel_tui.store.locks import OwnershipLock, owner_pid
from askel_tui.sync.engine import commands
from askel_tui.sync.instance import Instance

RESULT_TIMEOUT_S = 30.0
"""Time to wait for the daemon's result, in seconds."""


class CommandUnanswered(AskelError):
    """A command that the daemon did not execute in time; it is executed later."""


async def submit(
    instance: Instance, name: str, arguments: Mapping[str, Any], actor: str
) -> Mapping[str, Any]:
    """Submits a command and returns its result. Raises `CommandRefused`, `CommandUnanswered`."""
    command_id = await instance.journal.submit_command(name, arguments, actor, instance.clock())
    # Checked first: waiting for the lock would block this process, which may be the daemon itself.
    running = owner_pid(instance.home)
    if running is not None:
        return _result(await _wait_for_result(instance, command_id, running or None))
    lock = OwnershipLock(instance.home)
    try:
        lock.acquire()
    except AlreadyOwned as owned:
        return _result(await _wait_for_result(instance, command_id, owned.pid))
    try:
        await commands.execute(instance, await instance.journal.find_command(command_id))
    finally:
        lock.release()
    return _result(await instance.journal.find_command(command_id))


async def _wait_for_result(instance: Instance, command_id: int, pid: int | None) -> Command:
    loop = asyncio.get_running_loop()
    end = loop.time() + RESULT_TIMEOUT_S
    while loop.time() < end:
        command = await instance.journal.find_command(command_id)
        if command.state != "open":
            return command
        await instance.journal.wait_for_change(0.5)
    raise CommandUnanswered(
        f"the daemon (process {pid}) has not answered within {RESULT_TIMEOUT_S:g} s; "
        "the command stands and will be executed"
    )


def _result(command: Command) -> Mapping[str, Any]:
    result = command.result or {}
    if command.state == "refused":
        raise commands.CommandRefused(str(result.get("why", "refused")))
    return result
