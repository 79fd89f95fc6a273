"""The package's contract data is what the build script makes of Klaviyo's specification today."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import openapi_extract
from tests.support.files import OPENAPI_EXTRACT, ROOT, klaviyo_dir, needs_openapi_files

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / ".ci" / "build-contract"
DATA = ROOT / "askel_tui" / "contract" / "data" / "operations.json"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(source), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_openapi_files
def test_the_extracts_of_the_tests_are_what_their_script_builds(tmp_path: Path) -> None:
    openapi_extract.write(tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_text() == (OPENAPI_EXTRACT / file.name).read_text(), file.name


@needs_openapi_files
def test_the_package_holds_what_the_script_builds(tmp_path: Path) -> None:
    done = build(klaviyo_dir() / "operations.json", tmp_path / "built.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "built.json").read_bytes() == DATA.read_bytes()


def change(source: dict[str, Any], name: str) -> dict[str, Any]:
    for operation in source["operations"]:
        newest: dict[str, Any] = operation["revisions"]["2026-07-15"]
        if newest["operationId"] == name:
            return newest
    raise AssertionError(name)


@pytest.fixture
def source() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((klaviyo_dir() / "operations.json").read_text())
    return loaded


@needs_openapi_files
def test_a_changed_limit_of_the_specification_reaches_the_data(
    source: dict[str, Any], tmp_path: Path
) -> None:
    change(source, "bulk_import_profiles")["limits_in_description"] = [
        "Accepts up to 12,345 profiles per request"
    ]
    (tmp_path / "operations.json").write_text(json.dumps(source))
    build(tmp_path / "operations.json", tmp_path / "built.json")
    built = json.loads((tmp_path / "built.json").read_text())
    assert built["2026-07-15"]["bulk_import_profiles"]["max_items"] == 12345
    assert "max_bytes" not in built["2026-07-15"]["bulk_import_profiles"]


@needs_openapi_files
def test_a_limit_that_no_pattern_reads_stops_the_build(source: dict[str, Any], tmp_path: Path) -> None:
    change(source, "bulk_create_events")["limits_in_description"] = ["Takes no more than a handful of events"]
    (tmp_path / "operations.json").write_text(json.dumps(source))
    done = build(tmp_path / "operations.json", tmp_path / "built.json")
    assert done.returncode != 0
    assert "bulk_create_events" in done.stderr
    assert "handful" in done.stderr
    assert not (tmp_path / "built.json").exists()


def test_a_missing_source_is_reported_in_a_sentence(tmp_path: Path) -> None:
    done = build(tmp_path / "nothing.json", tmp_path / "built.json")
    assert done.returncode == 1
    assert done.stderr.startswith("build-contract: cannot read ")
    assert "Traceback" not in done.stderr
