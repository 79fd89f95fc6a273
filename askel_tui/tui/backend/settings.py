"""Settings: those stored with the state, and the user's own files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askel_tui.tui.backend.base import Base, in_its_own_thread, writes

if TYPE_CHECKING:
    from askel_tui.services.settings import Setting


@in_its_own_thread
class Settings(Base):
    """Reads and stores what can be set."""

    async def settings(self) -> dict[str, Any]:
        """All settings that were made."""
        return await self._read(lambda instance: instance.state.settings())

    async def known_settings(self) -> list[tuple[Setting, Any, bool]]:
        """Every setting there is, what holds for it now, and whether somebody has set it."""
        from askel_tui.services.settings import SETTINGS

        made = await self._read(lambda instance: instance.state.settings())
        return [(one, made.get(one.name, one.default), one.name in made) for one in SETTINGS.values()]

    @writes
    async def change_setting(self, name: str, words: Sequence[str] | None) -> None:
        """Sets a setting from words, or takes it back (None); audited. Raises `InvalidSetting`."""
        from askel_tui.services.settings import change

        await self._do(lambda instance: change(instance, name, words, self.actor))

    @property
    def config_directory(self) -> Path:
        """Where the user's own files are: `config.yaml`, `keymap.yaml`, `themes/`."""
        from askel_tui.tui.preferences.config import config_directory

        return self._home or config_directory()

    @writes
    async def save_config(self, name: str, value: str) -> None:
        """Sets one line of `config.yaml`; the others stay. Raises `HomeUnusable`, `OSError`."""
        from askel_tui.store.atomic_files import replace_file
        from askel_tui.tui.preferences.config_edit import with_setting

        def work() -> None:
            # A link stays one: people keep such files elsewhere.
            file = (self.config_directory / "config.yaml").resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text("utf-8") if file.exists() else ""
            replace_file(file, with_setting(before, name, value).encode())

        await asyncio.to_thread(work)
