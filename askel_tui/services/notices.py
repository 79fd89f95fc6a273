"""Addresses for notices: whether they can work, whether a test arrives, and what could not be delivered so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.addresses import read_addresses
from askel_tui.sync.notifications.channels import (
    DeliveryFailed,
    Message,
    find_address_problem,
    redacted_address,
    send,
)


class InvalidNoticeAddress(AskelError):
    """An address that no notice can be delivered to; the message says why, without the address."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True, slots=True)
class TriedAddress:
    """An address that a test notice was sent to: `error` says why it could not be delivered."""

    address: str
    """The address, redacted."""
    connection: str | None
    """The connection whose notices go there; None for those of all."""
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """How far notices were delivered to an address."""

    address: str
    """The address, redacted."""
    connection: str | None
    waiting: int
    """The number of notices that were not delivered yet."""
    attempts: int
    """The number of failed attempts to deliver the first of them."""
    error: str | None
    """Why the last attempt failed."""


async def check_addresses(addresses: Sequence[str]) -> None:
    """Checks whether notices can be delivered to addresses. Raises `InvalidNoticeAddress` for the first that can't."""
    for number, address in enumerate(addresses, 1):
        problem = await asyncio.to_thread(find_address_problem, address)
        if problem is not None:
            shown = redacted_address(address)
            raise InvalidNoticeAddress(f"address {number} ({shown}) can't take notices: {problem}")


async def send_tests(instance: Instance, addresses: Sequence[str], actor: str) -> list[str | None]:
    """Sends a notice that says it is a test; returns, per address, None or why the notice could not be sent."""
    now = instance.clock()
    text = f"A test from Askel, asked for by {actor}: notices come here."
    message = Message(f"test-{now}", "Askel: a test", text, {"test": True, "text": text, "at": now})

    async def send_to(address: str) -> str | None:
        try:
            await send(address, message, now // 1000)
        except DeliveryFailed as why:
            return str(why)
        return None

    return list(await asyncio.gather(*(send_to(address) for address in addresses)))


async def try_addresses(instance: Instance, actor: str, connection: str | None = None) -> list[TriedAddress]:
    """Sends a test notice to each address of a connection, or to all. Raises `UnknownConnection`."""
    if connection is not None:
        instance.state.connection(connection)
    chosen = [
        each
        for each in await read_addresses(instance)
        if connection is None or each.connection in (None, connection)
    ]
    errors = await send_tests(instance, [each.url for each in chosen], actor)
    return [
        TriedAddress(redacted_address(each.url), each.connection, error)
        for each, error in zip(chosen, errors, strict=True)
    ]


async def read_delivery_states(instance: Instance) -> tuple[DeliveryStatus, ...]:
    """Reads how far notices were delivered, by address; none for an address that no daemon has met yet."""
    found = []
    for address in await read_addresses(instance):
        at = await instance.journal.known_delivery(address.key)
        if at is None:
            continue
        notices = await instance.journal.notices(at.seq)
        waiting = sum(address.wants(notice) for notice in notices)
        shown = redacted_address(address.url)
        found.append(DeliveryStatus(shown, address.connection, waiting, at.attempts, at.reason))
    return tuple(found)
