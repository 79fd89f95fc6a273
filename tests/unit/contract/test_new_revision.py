"""How a revision is added, done with an invented one: its file, `build-contract`, and a line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.files import ROOT, klaviyo_dir, needs_openapi_files

NEW, BEFORE = "2027-01-15", "2026-10-15"
LINE = f'        "{BEFORE}": _HELD,\n'
CHECK = """
import asyncio
from datetime import date

from askel_tui.contract.calls import Call
from askel_tui.contract.caps import caps
from askel_tui.contract.dialects import dialect
from askel_tui.contract.endpoints import endpoint
from askel_tui.contract.revisions import NEWEST, REVISIONS, describe
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.reads.catalog import read_catalog
from askel_tui.sandbox.http.server import serve

NEW, BEFORE = REVISIONS[-1], REVISIONS[-2]
assert (NEW, BEFORE, NEWEST) == ("2027-01-15", "2026-10-15", "2027-01-15"), REVISIONS
assert endpoint(NEW, Call.BULK_IMPORT_PROFILES).max_items == 12_345
assert endpoint(BEFORE, Call.BULK_IMPORT_PROFILES).max_items == 10_000
words, earlier = dialect(NEW), dialect(BEFORE)
assert words.has_backfill and words.has_historical_consent
assert words.subscribe_channels == earlier.subscribe_channels == ("email", "sms", "whatsapp", "push")
assert caps(NEW) == caps(BEFORE)
assert describe(NEW, date(2027, 2, 1)) == "stable until 2028-01-15"
assert describe("2024-02-15", date(2029, 1, 14)) == "retired, served as 2027-01-15"


async def main() -> None:
    running = await serve(settings={"limits": False, "today": "2027-02-01"})
    client = Client(key=running.key, revision=NEW, url=running.url)
    try:
        event = words.event(
            {"email": "ada@maple.example"}, "M", {}, "2027-01-20T00:00:00Z", "u", backfill=True, unset=["Old"]
        )
        assert (await client.call(Call.CREATE_EVENT, body=event)).status == 202
        assert (await read_catalog(client)).unread == ()
        assert {entry["served"] for entry in running.world.log} == {NEW}
    finally:
        await client.aclose()
        await running.aclose()


asyncio.run(main())
"""


@needs_openapi_files
def test_an_invented_revision_needs_its_file_the_build_and_a_line(tmp_path: Path) -> None:
    files, package = tmp_path / "klaviyo", tmp_path / "askel_tui"
    files.mkdir()
    for each in klaviyo_dir().glob("openapi-*.json"):
        (files / each.name).symlink_to(each.resolve())
    (files / f"openapi-{NEW}.json").symlink_to((klaviyo_dir() / f"openapi-{BEFORE}.json").resolve())
    source = json.loads((klaviyo_dir() / "operations.json").read_text())
    source["source_files"][NEW] = "invented"
    for each in source["operations"]:
        each["revisions"][NEW] = row = json.loads(json.dumps(each["revisions"][BEFORE]))
        if row["operationId"] == "bulk_import_profiles":
            row["limits_in_description"] = ["Accepts up to 12,345 profiles per request"]
    (files / "operations.json").write_text(json.dumps(source))
    shutil.copytree(ROOT / "askel_tui", package, ignore=shutil.ignore_patterns("__pycache__"))
    table = package / "contract" / "revisions.py"
    text = table.read_text()
    assert LINE in text
    table.write_text(text.replace(LINE, LINE + LINE.replace(BEFORE, NEW)))
    data = package / "contract" / "data" / "operations.json"
    environ = {
        **os.environ,
        "KLAVIYO_OPENAPI": str(files),
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))),
    }

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    run(str(ROOT / ".ci" / "build-contract"), "-o", str(data))
    run("-c", CHECK)
    run("-m", "tests.support.openapi_extract", str(tmp_path / "extracts"))
    assert "paths" in json.loads((tmp_path / "extracts" / f"openapi-{NEW}.json").read_text())
