"""Files that tests read: the repository, the data kept beside the tests, and Klaviyo's own OpenAPI files.

`tests/data` has all that `make test` needs. The whole OpenAPI files are too large for the repository; the few tests
that need them are slow ones, and are not run where the files are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., Any])

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

DATA = ROOT / "tests" / "data"
EXAMPLES = DATA / "examples"
"""Workflow files and records of Maple & Ember."""

RECORDED = DATA / "klaviyo" / "recorded"
"""Recorded answers of the real API."""

OPENAPI_EXTRACT = DATA / "klaviyo" / "openapi"
"""What tests need of the OpenAPI files; made by `python -m tests.support.openapi_extract`."""


def klaviyo_dir() -> Path:
    """The folder of Klaviyo's OpenAPI files: $KLAVIYO_OPENAPI, else shared/klaviyo beside the repository."""
    return Path(os.environ.get("KLAVIYO_OPENAPI") or ROOT.parent / "shared" / "klaviyo")


def has_openapi_files() -> bool:
    """Whether Klaviyo's OpenAPI files are on this machine."""
    return (klaviyo_dir() / "operations.json").is_file()


_needs_openapi_files = pytest.mark.skipif(
    not has_openapi_files(),
    reason=f"not run: Klaviyo's OpenAPI files are not in {klaviyo_dir()}; set KLAVIYO_OPENAPI to the folder "
    "that holds openapi-2026-07-15.json and operations.json",
)


def needs_openapi_files(test: T) -> T:
    """Marks a test that reads the whole OpenAPI files: it is slow, and is not run where they are missing."""
    marked: T = pytest.mark.slow(_needs_openapi_files(test))
    return marked
