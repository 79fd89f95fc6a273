"""Settings: those stored with the state, and the user's own files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from askel_tui.tui.backend.base import Base, in_its_own_thread, writes


@in_its_own_thread
class Settings(Base):
    """Reads and stores what can be set."""

    async def settings(self) -> dict[str, Any]:
        """All settings that were made."""
        return await self._read(lambda instance: instance.state.settings())

    @writes
    async def save_setting(self, name: str, value: Any) -> None:
        """Stores a setting; None takes it back."""
        await self._do(lambda instance: asyncio.to_thread(instance.state.save_setting, name, value))

    @property
    def config_directory(self) -> Path:
        """Where the user's own files are: `config.yaml`, `keymap.yaml`, `themes/`."""
        from askel_tui.tui.config import directory

        return self._home or directory()

    @writes
    async def save_config(self, name: str, value: str) -> None:
        """Sets one line of `config.yaml`; the others stay. Raises `HomeUnusable`, `OSError`."""
        from askel_tui.store.files import replace_file
        from askel_tui.tui.config_edit import with_setting

        def work() -> None:
            # A link stays one: people keep such files elsewhere.
            file = (self.config_directory / "config.yaml").resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text("utf-8") if file.exists() else ""
            replace_file(file, with_setting(before, name, value).encode())

        await asyncio.to_thread(work)
