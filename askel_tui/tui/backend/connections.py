"""Connections and their keys."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from askel_tui.tui.backend.base import Base, in_its_own_thread, writes
from askel_tui.tui.backend.read_only import ReadOnly

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc, OnConflict
    from askel_tui.sync.instance import Instance


@in_its_own_thread
class Connections(Base):
    """Makes, checks, changes and takes away connections."""

    async def connections(self) -> list[ConnectionDoc]:
        """All connections by name."""
        return await self._read(lambda instance: instance.state.connections())

    async def check_key(self, key: str, revision: str) -> KeyCheck:
        """What a key that is not stored opens. Raises `KlaviyoError`, `KeyUnfit`."""
        from askel_tui.core.fingerprints import fingerprint
        from askel_tui.klaviyo.reads.key_check import check_key
        from askel_tui.store.secrets.key_store import check_key as fit_key

        if self.read_only:
            # Write scopes are probed by requests that cannot write, yet are no reads.
            raise ReadOnly("checking a key")

        async def work(instance: Instance) -> KeyCheck:
            fit = fit_key(key)
            client = await instance.client_for(fit, revision, f"key:{fingerprint(fit)}")
            async with client:
                return await check_key(client)

        return await self._do(work)

    @writes
    async def connect(
        self,
        name: str,
        key: str,
        *,
        revision: str | None = None,
        customer: str | None = None,
        only_lists: Sequence[str] = (),
        notify: Sequence[str] = (),
        on_conflict: OnConflict = "fail",
    ) -> tuple[ConnectionDoc, KeyCheck]:
        """Makes a connection (`services.connections.connect`)."""
        from askel_tui.services import connections

        return await self._do(
            lambda instance: connections.connect(
                instance,
                name,
                key,
                self.actor,
                revision=revision,
                customer=customer,
                only_lists=only_lists,
                notify=notify,
                on_conflict=on_conflict,
            )
        )

    @writes
    async def test_notice(self, addresses: Sequence[str]) -> list[str | None]:
        """Sends a notice that says it is a test; gives, per address, None or why it did not leave."""
        from askel_tui.sync.notifications.channels import DeliveryFailed, Message, send

        async def one(address: str, now: int) -> str | None:
            text = f"A test from Askel's console, asked for by {self.actor}: notices of this connection come here."
            document = {"test": True, "text": text, "at": now}
            try:
                await send(address, Message(f"test-{now}", "Askel: a test", text, document), now // 1000)
            except DeliveryFailed as why:
                return str(why)
            return None

        async def work(instance: Instance) -> list[str | None]:
            now = instance.clock()
            return list(await asyncio.gather(*(one(address, now) for address in addresses)))

        return await self._do(work)

    @writes
    async def check_connection(self, name: str) -> tuple[ConnectionDoc, KeyCheck]:
        """Checks a connection's key anew (`services.connections.check`)."""
        from askel_tui.services import connections

        return await self._do(lambda instance: connections.check(instance, name))

    @writes
    async def rotate(self, name: str, key: str) -> tuple[ConnectionDoc, KeyCheck]:
        """Gives a connection a new key (`services.connections.rotate`)."""
        from askel_tui.services import connections

        return await self._do(lambda instance: connections.rotate(instance, name, key, self.actor))

    @writes
    async def disconnect(self, name: str) -> ConnectionDoc:
        """Takes a connection away (`services.connections.disconnect`)."""
        from askel_tui.services import connections

        return await self._do(lambda instance: connections.disconnect(instance, name, self.actor))

    @writes
    async def change_connection(self, name: str, **fields: Any) -> ConnectionDoc:
        """Sets fields of a connection (`customer`, `only_lists`, `notify`, `on_conflict`)."""
        return await self._do(
            lambda instance: asyncio.to_thread(
                functools.partial(instance.state.change_connection, name, **fields)
            )
        )

    async def lists_visible_to(self, key: str, revision: str) -> list[str]:
        """The names and ids of the lists that a key which is not stored can see. Raises `KlaviyoError`, `KeyUnfit`."""
        from askel_tui.core.fingerprints import fingerprint
        from askel_tui.klaviyo.reads.catalog import read_catalog
        from askel_tui.store.secrets.key_store import check_key as fit_key

        async def work(instance: Instance) -> list[str]:
            fit = fit_key(key)
            client = await instance.client_for(fit, revision, f"key:{fingerprint(fit)}")
            async with client:
                lists = (await read_catalog(client, sections=["lists"])).lists
                return [each.name for each in lists] + [each.id for each in lists]

        return await self._do(work)
