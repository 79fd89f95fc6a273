"""The sandbox account of the demonstration, through the sandbox's control surface."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp


class DemoAccount:
    """Client of a sandbox's control surface."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/sandbox"

    async def state(self) -> dict[str, Any]:
        """Reads everything that the account holds."""
        return await self._ask("GET", "state")

    async def delete_list(self, name: str) -> None:
        """Deletes a list."""
        await self._ask("DELETE", f"lists/{quote(name)}")

    async def restore_list(self, name: str) -> None:
        """Brings a deleted list back, with its id and members."""
        await self._ask("POST", f"lists/{quote(name)}/restore")

    async def _ask(self, method: str, path: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self._url}/{path}", raise_for_status=True) as response,
        ):
            found: dict[str, Any] = await response.json(content_type=None)
            return found
