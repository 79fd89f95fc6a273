"""`askel audit`: an export that others verify by the documented format, and what `verify` says of a changed journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.askel import Askel
from tests.support.audit_verifier import documented_verifier
from tests.support.files import EXAMPLES

WRITES = "account:MpEmbr/writes"


@pytest.fixture
def exported(askel: Askel, tmp_path: Path) -> list[dict[str, Any]]:
    """The export of a home that has sent: upserts, list calls for several people, events."""
    askel.connect()
    askel("workflow", "apply", str(EXAMPLES / "first-points-welcome.yaml"))
    askel("ingest", str(EXAMPLES / "first-points.jsonl"), "--connection", "maple-ember")
    askel("workflow", "activate", "first-points-welcome", "--since", "2026-01-01", "--fire-flows")
    askel("daemon", "--until-idle", code=None)
    askel("audit", "export", "--output", str(tmp_path / "audit.jsonl"))
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def problems(entries: list[dict[str, Any]]) -> list[str]:
    return list(documented_verifier()(map(json.dumps, entries)))


def _changed(entry: dict[str, Any], **fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda each: {**each, **fields} if each is entry else each


def test_an_export_is_verified_by_the_documented_format(askel: Askel, exported: list[dict[str, Any]]) -> None:
    assert problems(exported) == []
    chains = {entry["chain"] for entry in exported}
    assert chains == {WRITES, "account:MpEmbr/acceptances"}
    accepted = sum(len(each["parts"]) for each in exported if each["kind"] == "accept")
    assert accepted == len((EXAMPLES / "first-points.jsonl").read_text().splitlines())

    packed = next(each for each in exported if len(each.get("parts") or ()) > 4 and each.get("request"))
    at = f"{packed['chain']}, entry {packed['seq']}: "
    assert problems([*map(_changed(packed, actor="mallory"), exported)]) == [f"{at}was changed"]
    assert problems([*map(_changed(packed, profile={"email": "x@x.example"}), exported)]) == [
        f"{at}shows another payload than it commits to"
    ]
    parts = [{**each, "text": each["text"].replace("profile", "PROFILE")} for each in packed["parts"]]
    assert problems([*map(_changed(packed, parts=parts), exported)]) == [
        f"{at}has another body than was sent"
    ]
    without = [each for each in exported if each is not packed]
    assert problems(without) == [
        f"{packed['chain']}, entry {packed['seq'] + 1}: does not follow the entry before it"
    ]
    # One person's part and payload erased: the others still verify.
    commitment = next(iter(packed["parts"][1:]))
    gone = {"commitment": documented_verifier().__globals__["commitment"](commitment)}
    erased = {"salt": None, "payload_text": None, "profile": None, "response": None}
    left = [packed["parts"][0], gone, *packed["parts"][2:]]
    assert problems([*map(_changed(packed, parts=left, **erased), exported)]) == []


def test_verify_names_the_chain_the_entry_and_what_is_wrong(
    askel: Askel, exported: list[dict[str, Any]]
) -> None:
    entries = [each for each in exported if each["kind"] != "accept"]
    whole = askel.json("audit", "verify")
    assert (whole["entries"], whole["erased"], whole["chain"], whole["why"]) == (len(entries), 0, None, None)
    victim = next(each for each in entries if each["profile"])
    journal = askel.home / "journal.db"
    with closing(sqlite3.connect(journal)) as db, db:
        erased = f"profile = NULL, response = NULL, salt = NULL, erased = x'{victim['payload']}'"
        db.execute(f"UPDATE audit SET {erased} WHERE seq = {victim['position']}")
    assert f"1 erased, which is no fault: {WRITES} entry {victim['seq']}" in askel("audit", "verify").stderr
    assert askel.json("audit", "verify")["erased_at"] == [{"chain": WRITES, "seq": victim["seq"]}]
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("UPDATE audit SET actor = 'mallory' WHERE seq = ?", (victim["position"],))
    said = askel("audit", "verify", code=1).stderr
    assert f"the chain {WRITES} is broken at entry {victim['seq']}: it was changed" in said
    assert "is broken at entry" in askel("doctor", code=None).stdout
