"""Where the shared files are: Klaviyo's OpenAPI files and recordings, and the examples beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

_HOW = "set KLAVIYO_OPENAPI to the folder that holds openapi-2026-07-15.json and operations.json"


def klaviyo_dir() -> Path:
    """The folder of Klaviyo's OpenAPI files: $KLAVIYO_OPENAPI, else shared/klaviyo beside the repository."""
    return Path(os.environ.get("KLAVIYO_OPENAPI") or ROOT.parent / "shared" / "klaviyo")


def shared_dir() -> Path:
    """The folder that holds `klaviyo_dir()` and the examples."""
    return klaviyo_dir().parent


def recorded_dir() -> Path:
    """The folder of recorded answers of the real API."""
    return klaviyo_dir() / "recorded"


def has_shared() -> bool:
    """Whether the shared files are here."""
    return (klaviyo_dir() / "operations.json").is_file()


def require_shared() -> None:
    """Skips the running test where the shared files are missing."""
    if not has_shared():
        pytest.skip(_MISSING)


_MISSING = f"Klaviyo's OpenAPI files are not in {klaviyo_dir()}; {_HOW}"

if os.environ.get("CI") and not has_shared():
    raise FileNotFoundError(f"{_MISSING}: where CI is set nothing is skipped.")

# Marks a test or, as `pytestmark = needs_shared`, a module.
needs_shared = pytest.mark.skipif(not has_shared(), reason=_MISSING)
