"""What the console remembers between starts: the last screen, the connection, the theme, filters. One small file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1


def load_session(home: Path) -> dict[str, Any]:
    """What was remembered; nothing where there is no file or it can't be read."""
    try:
        found = json.loads((home / "console.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("version") != FORMAT_VERSION:
        return {}
    kept = found.get("kept")
    return kept if isinstance(kept, dict) else {}


def save_session(home: Path, kept: dict[str, Any]) -> None:
    """Remembers, whole or not at all. Raises `HomeUnusable`."""
    from askel_tui.store.atomic_files import replace_file

    if home.is_dir():
        replace_file(home / "console.json", json.dumps({"version": FORMAT_VERSION, "kept": kept}).encode())
