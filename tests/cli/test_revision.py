"""Revisions: rehearsing a move, making it, taking it back, and what stands in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.bad_days import WELCOME
from tests.support.sandbox import SandboxProcess
from tests.support.workbench import points

OLD, NEW = "2024-02-15", "2026-10-15"
ALL_STEPS = """\
askel: 2
workflow: everything
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, external_id: data.shopper.id, phone_number: data.shopper.phone}
steps:
  - id: tier
    upsert_profile: {properties: {LoyaltyTier: data.shopper.tier}}
  - id: vip
    require_segment: {segment: VIP, member: false}
  - id: welcome
    add_to_list: Welcome Flow
  - id: points
    track_event: {metric: First Points Earned, value: data.points}
  - id: yes
    subscribe: {channels: [email], list: Newsletter, resubscribe: true}
  - id: no
    unsubscribe: {channels: [sms], list: Newsletter, require: any}
"""
CHAT = """\
workflow: chat
connection: maple-ember
trigger: first_points_earned
profile: {email: data.shopper.email, phone_number: data.shopper.phone}
steps:
  - id: ask
    subscribe: {channels: [whatsapp]}
"""
NAMED = (
    ("create_or_update_profile", "path /api/profile-import/ becomes /api/profile-import"),
    ("create_or_update_profile", "media type application/json becomes application/vnd.api+json"),
    ("create_or_update_profile", "limits 75/s, 700/min become 75/s, 750/min"),
    ("create_or_update_profile", "which identifiers it changes (2026-04-15)"),
    ("bulk_import_profiles", "a profile has a locale (2024-07-15)"),
    ("bulk_import_profiles", "at most 100 KB (2025-01-15)"),
    ("bulk_create_events", "the revision has this call"),
    ("bulk_create_events", "up to 400 properties (300 before) (2025-04-15)"),
    ("bulk_create_events", "history and fires no flow (2026-04-15)"),
    ("bulk_create_events", "back to 1991"),
    ("create_event", "the profile's meta stands beside its attributes"),
    ("bulk_subscribe_profiles", "items a call: 100 becomes 1,000"),
    ("bulk_subscribe_profiles", "age gate"),
    ("bulk_subscribe_profiles", "historical_import"),
    ("bulk_subscribe_profiles", "transactional SMS"),
    ("bulk_subscribe_profiles", "has to name its channels (2025-01-15)"),
    ("bulk_subscribe_profiles", "WhatsApp"),
    ("bulk_subscribe_profiles", "push"),
    ("bulk_subscribe_profiles", "clicks in e-mail"),
    ("bulk_unsubscribe_profiles", "unsubscribing names channels (2024-10-15)"),
    ("get_lists", "page[size] may be named: no becomes yes"),
    ("get_profiles_for_segment", "profile ids (2025-10-15)"),
    ("get_segment", "definition"),
    ("get_events", "1,000 a page"),
    ("get_accounts", "city may be missing (2026-10-15)"),
)


@pytest.fixture
def old(askel: Askel, tmp_path: Path) -> Askel:
    """A home with a connection at a retired revision, and people who wait."""
    askel.connect("maple-ember", "--revision", OLD, "--accept-retired")
    (tmp_path / "w.yaml").write_text(WELCOME)
    askel("workflow", "apply", str(tmp_path / "w.yaml"))
    askel("workflow", "activate", "welcome")
    _take(askel, tmp_path, range(8))
    return askel


def _take(askel: Askel, where: Path, numbers: range) -> None:
    lines = "\n".join(
        json.dumps(points(each, email=f"{askel.home.parent.name}{each}@mapleandember.example"))
        for each in numbers
    )
    (where / "r.jsonl").write_text(lines)
    askel("ingest", str(where / "r.jsonl"), "--connection", "maple-ember")


def _revision(askel: Askel) -> str:
    (one,) = askel.json("connections")["connections"]
    return str(one["revision"])


def _writes(account: SandboxProcess, since: int) -> list[str]:
    log = account.control("GET", f"requests?after={since}")["requests"]
    return [each["revision"] for each in log if each["method"] != "GET"]


def test_a_move_is_rehearsed_then_made_and_confirmed(old: Askel, account: SandboxProcess) -> None:
    assert (
        f"askel revision rehearse maple-ember --to {NEW}"
        in old("revision", "move", "maple-ember", code=3).stderr
    )
    since = account.control("GET", "requests?limit=0")["last"]
    rehearsed = old.json("revision", "rehearse", "maple-ember")
    assert (rehearsed["old"], rehearsed["new"], rehearsed["safe"]) == (OLD, NEW, True)
    assert (rehearsed["records"], rehearsed["tried"]) == (8, 24)
    assert _writes(account, since) == []
    asked = old("revision", "move", "maple-ember", code=3).stderr
    assert "--yes" in asked
    assert "found it safe" in asked
    assert _revision(old) == OLD
    moved = old.json("revision", "move", "maple-ember", "--yes")
    assert (moved["revision"], moved["confirmed"], moved["held"]) == (NEW, False, [])
    old("daemon", "--until-idle")
    assert set(_writes(account, since)) == {NEW}
    (status,) = old.json("status")["workflows"]
    assert (status["sent"], status["waiting"], status["failed"]) == (24, 0, 0)
    assert "no way back" in old("revision", "move", "maple-ember", code=3).stderr
    assert old.json("revision", "move", "maple-ember", "--yes")["confirmed"] is True
    assert "nothing to take back" in old("revision", "back", "maple-ember", "--yes", code=3).stderr
    assert "is at 2026-10-15 already" in old("revision", "move", "maple-ember", "--yes", code=3).stderr
    kinds = [
        each["kind"] for each in old.lines("audit") if "rev" in each["kind"] or each["kind"] == "rehearse"
    ]
    assert kinds == ["rehearse", "revision_move", "revision_confirm"]


def test_a_rehearsal_counts_for_the_workflows_that_it_tried(old: Askel, tmp_path: Path) -> None:
    old("revision", "rehearse", "maple-ember")
    (tmp_path / "w.yaml").write_text(WELCOME.replace("LoyaltyTier", "Tier"))
    old("workflow", "apply", str(tmp_path / "w.yaml"))
    old("workflow", "activate", "welcome", "--replan")
    assert "as they are now" in old("revision", "move", "maple-ember", "--yes", code=3).stderr


@pytest.mark.slow
def test_the_way_back_names_and_holds_what_the_old_revision_cannot_say(
    old: Askel, tmp_path: Path, account: SandboxProcess
) -> None:
    old("revision", "rehearse", "maple-ember")
    old("revision", "move", "maple-ember", "--yes")
    (tmp_path / "w.yaml").write_text(CHAT)
    old("workflow", "apply", str(tmp_path / "w.yaml"))
    old("workflow", "activate", "chat")
    account.control("POST", "faults", {"endpoint": "bulk_subscribe_profiles", "status": 410, "times": 1})
    rows = [points(100 + each, phone=f"+4477009001{each}3") for each in range(3)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    old("ingest", str(tmp_path / "p.jsonl"), "--connection", "maple-ember")
    old("daemon", "--until-idle", code=3)
    named = old("revision", "back", "maple-ember", code=3).stderr
    assert "--yes" in named
    assert "chat step ask: 3 operations can't be said there" in named
    back = old.json("revision", "back", "maple-ember", "--yes")
    assert back["revision"] == OLD
    (held,) = back["held"]
    assert (held["workflow"], held["step"], held["operations"]) == ("chat", "ask", 3)
    assert "whatsapp" in held["why"]
    _take(old, tmp_path, range(200, 203))
    since = account.control("GET", "requests?limit=0")["last"]
    old("daemon", "--until-idle", code=3)
    assert set(_writes(account, since)) == {OLD}
    (hold,) = old.json("hold", "list")["holds"]
    assert (hold["cause"], hold["waiting"]) == ("revision", 3)
    assert old.json("connections")["connections"][0]["accept_retired"] is True
    assert "nothing to take back" in old("revision", "back", "maple-ember", "--yes", code=3).stderr
    old("revision", "rehearse", "maple-ember")
    old("revision", "move", "maple-ember", "--yes")
    old("daemon", "--until-idle")
    assert old.json("hold", "list") == {"holds": []}


def test_a_rehearsal_names_every_difference_that_the_workflows_touch(askel: Askel, tmp_path: Path) -> None:
    askel.connect("maple-ember", "--revision", OLD, "--accept-retired")
    (tmp_path / "w.yaml").write_text(ALL_STEPS)
    askel("workflow", "apply", str(tmp_path / "w.yaml"))
    found = askel.json("revision", "rehearse", "maple-ember")
    shown = [(each["call"], each["words"]) for each in found["differences"]]
    missing = [
        (call, words) for call, words in NAMED if not any(call == of and words in said for of, said in shown)
    ]
    assert not missing, shown


def test_what_stands_in_the_way(askel: Askel, account: SandboxProcess, tmp_path: Path) -> None:
    askel.connect()
    assert (
        "did you mean 2026-07-15"
        in askel("revision", "rehearse", "maple-ember", "--to", "2026-07-16", code=3).stderr
    )
    assert "--accept-retired" in askel("revision", "move", "maple-ember", "--to", OLD, "--yes", code=3).stderr
    assert "is at 2026-10-15 already" in askel("revision", "move", "maple-ember", "--yes", code=3).stderr
    assert "'nobody'" in askel("revision", "rehearse", "nobody", code=2).stderr
    assert "no move to try" in askel("revision", "rehearse", "maple-ember", code=3).stderr
    rows = {each["revision"]: each for each in askel.json("revision", "list")["revisions"]}
    assert rows[NEW]["connections"] == ["maple-ember"]
    assert rows[NEW]["newest"] is True
    assert rows[OLD]["status"] == "retired"
    assert "served as" in askel("revision", "list").stdout
