"""The addresses that notices go to: those of all connections, and those of one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.store.journal.notice_rows import Notice
from askel_tui.store.state.documents import ConnectionDoc
from askel_tui.sync.instance import Instance

NOTIFY_SETTING = "notify"
"""The setting with addresses for the notices of all connections: a list of URLs."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address for the notices of one connection, or of all."""

    url: str
    connection: str | None

    @property
    def key(self) -> str:
        """The hash that stands for the address in the journal, since the address may hold a secret."""
        return hashlib.sha256(f"{self.connection or ''}\0{self.url}".encode()).hexdigest()[:32]

    def wants(self, notice: Notice) -> bool:
        """Checks whether a notice is to be delivered here."""
        return not notice.quiet if self.connection is None else self.connection in notice.connections


def list_addresses(settings: Mapping[str, Any], connections: Iterable[ConnectionDoc]) -> list[Address]:
    """Lists the addresses, each once; one for all connections gets each notice once."""
    everywhere = [str(each) for each in settings.get(NOTIFY_SETTING) or ()]
    found = [Address(url, None) for url in everywhere]
    for document in connections:
        found += [Address(url, document.name) for url in document.notify if url not in everywhere]
    return list(dict.fromkeys(found))


async def read_addresses(instance: Instance) -> list[Address]:
    """Reads the addresses as they are now."""
    settings = await asyncio.to_thread(instance.state.settings)
    return list_addresses(settings, await asyncio.to_thread(instance.state.connections))
