"""Giving orders: to the daemon if one runs, else carried out here, by the same code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from askel_tui.core.exit_codes import AskelError
from askel_tui.store.errors import AlreadyOwned
from askel_tui.store.journal.rows import Command
from askel_tui.store.locks import OwnershipLock, owner_pid
from askel_tui.sync.engine import commands
from askel_tui.sync.instance import Instance

RESULT_TIMEOUT_S = 30.0
"""How long to wait for the daemon's answer."""


class CommandUnanswered(AskelError):
    """The daemon did not carry an order out in time; it will when it can."""


async def submit(
    instance: Instance, name: str, arguments: Mapping[str, Any], actor: str
) -> Mapping[str, Any]:
    """The result of an order. Raises `orders.Refused`, `CommandUnanswered`."""
    ordered = await instance.journal.submit_command(name, arguments, actor, instance.clock())
    # Asked first: waiting for a lock that a daemon holds would stop this process, which may be the daemon itself.
    running = owner_pid(instance.home)
    if running is not None:
        return _result(await _wait_for_result(instance, ordered, running or None))
    lock = OwnershipLock(instance.home)
    try:
        lock.acquire()
    except AlreadyOwned as owned:
        return _result(await _wait_for_result(instance, ordered, owned.pid))
    try:
        await commands.execute(instance, await instance.journal.find_command(ordered))
    finally:
        lock.release()
    return _result(await instance.journal.find_command(ordered))


async def _wait_for_result(instance: Instance, ordered: int, pid: int | None) -> Command:
    end = time.monotonic() + RESULT_TIMEOUT_S
    while time.monotonic() < end:
        command = await instance.journal.find_command(ordered)
        if command.state != "open":
            return command
        await instance.journal.wait_for_change(0.5)
    raise CommandUnanswered(
        f"the daemon (process {pid}) has not answered within {RESULT_TIMEOUT_S:g} s; "
        "the order stands and will be carried out"
    )


def _result(command: Command) -> Mapping[str, Any]:
    result = command.result or {}
    if command.state == "refused":
        raise commands.CommandRefused(str(result.get("why", "refused")))
    return result
