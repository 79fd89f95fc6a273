"""The session state, which the console remembers between starts: screen, connection, theme, filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1


class Session:
    """Named JSON values, read from `console.json` in a directory and kept there by `save`."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "console.json"
        self._values = _read(self._file)

    def recall(self, name: str, default: Any = None) -> Any:
        """Returns the value remembered under a name, in this start or an earlier one."""
        return self._values.get(name, default)

    def remember(self, name: str, value: Any) -> None:
        """Remembers a JSON value."""
        self._values[name] = value

    def save(self) -> None:
        """Writes the file, whole or not at all; nothing where the directory is missing. Raises `HomeUnusable`."""
        from askel_tui.store.atomic_files import replace_file

        if self._file.parent.is_dir():
            document = {"version": FORMAT_VERSION, "kept": self._values}
            replace_file(self._file, json.dumps(document).encode())


def _read(file: Path) -> dict[str, Any]:
    """Reads the values in a file; none where it is missing or can't be read."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("version") != FORMAT_VERSION:
        return {}
    kept = found.get("kept")
    return kept if isinstance(kept, dict) else {}
