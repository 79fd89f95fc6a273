"""The configuration as files: exported, planned, applied, wiped and made anew."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import open_instance
from tests.support.askel import Askel
from tests.support.files import EXAMPLES

pytestmark = pytest.mark.clock

NAME = "first-points-welcome"
FIRST = EXAMPLES / f"{NAME}.yaml"
HOOK = "https+hmac://very-secret-word@hooks.example/askel"
OTHER = "https://hooks.example/services/another-word"
TIERS = """\
workflow: tiers
connection: maple-ember
trigger: tier_reached
profile: {email: data.email}
steps:
  - id: tier
    upsert_profile: {properties: {OldTier: data.tier}}
"""


@pytest.fixture
def brand(askel: Askel) -> Askel:
    """A home with a connection, a workflow that runs, a newer draft of it, and settings."""
    askel.connect("maple-ember", "--notify", HOOK, "--customer", "Maple: & Ember")
    askel("connections", "set", "maple-ember", "--pause-after", "90s", "--on-conflict", "strongest")
    askel("workflow", "apply", str(FIRST))
    askel("workflow", "activate", NAME)
    askel("settings", "set", "retention_days", "30.5")
    askel("settings", "set", "notify", HOOK, OTHER)
    askel("settings", "set", "compete", "on")
    return askel


def _state(askel: Askel) -> dict[str, Any]:
    """What the configuration of a home is, as commands show it."""
    shown = askel.json("workflow", "show", NAME)
    connections = askel.json("connections")["connections"]
    return {
        "connections": [
            {key: value for key, value in each.items() if key not in ("created",)} for each in connections
        ],
        "settings": askel.json("settings"),
        "workflow": {key: shown[key] for key in ("connection", "state", "steps")},
        "text": askel("workflow", "export", NAME).stdout,
    }


def _draft(askel: Askel, tmp_path: Path) -> None:
    newer = tmp_path / "newer.yaml"
    newer.write_text(FIRST.read_text() + "# not yet\n")
    askel("workflow", "apply", str(newer))


def test_export_wipe_and_apply_give_the_same_state(brand: Askel, tmp_path: Path) -> None:
    _draft(brand, tmp_path)
    folder = tmp_path / "brand"
    brand("config", "export", str(folder))
    assert "no changes" in brand("config", "plan", str(folder)).stderr
    assert "no changes" in brand("config", "export", str(folder)).stderr
    written = "".join(path.read_text() for path in folder.rglob("*.yaml"))
    assert brand.key not in written
    assert "very-secret-word" not in written
    assert "another-word" not in written

    names = [
        word for word in json.dumps(written).replace("}", "{").split("{") if word.startswith("ASKEL_ADD")
    ]
    assert len(names) == 3
    values: dict[str, Any] = dict(zip(names, [HOOK, OTHER, HOOK], strict=True))
    other = Askel(tmp_path / "other", brand.url, brand.key)
    refused = other("config", "plan", str(folder), code=3).stderr
    assert "ASKEL_ADDRESS_" in refused
    refused = other("config", "apply", str(folder), "--yes", code=3, **values).stderr
    assert "ASKEL_KEY_MAPLE_EMBER" in refused
    assert other.json("connections") == {"connections": []}
    other("config", "apply", str(folder), "--yes", **values, ASKEL_KEY_MAPLE_EMBER=brand.key)
    assert _state(other) == _state(brand)
    assert "no changes" in other("config", "plan", str(folder)).stderr
    [entry] = other.lines("audit", "--kind", "config")
    assert "create connection maple-ember" in entry["response"]["detail"]["changes"]


def test_comments_stay_and_what_changed_is_written(brand: Askel, tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    brand("config", "export", str(folder))
    main, connection = folder / "askel.yaml", folder / "connections" / "maple-ember.yaml"
    main.write_text(main.read_text().replace("retention_days: 30.5", "retention_days: 30.5 # by contract"))
    connection.write_text("# ask Ada\n" + connection.read_text())
    assert "no changes" in brand("config", "export", str(folder)).stderr
    brand("settings", "set", "retention_days", "7")
    brand("settings", "set", "pause_after", "20m")
    brand("settings", "unset", "compete")
    brand("connections", "set", "maple-ember", "--pause-after", "default")
    brand("workflow", "pause", NAME)
    assert brand.json("config", "export", str(folder))["written"] == [
        "askel.yaml",
        "connections/maple-ember.yaml",
    ]
    assert "retention_days: 7 # by contract\n" in main.read_text()
    assert f"{NAME}: paused\n" in main.read_text()
    assert connection.read_text().startswith("# ask Ada\n")
    assert "no changes" in brand("config", "plan", str(folder)).stderr


def test_a_plan_says_what_changes_and_holds_only_while_nothing_moves(brand: Askel, tmp_path: Path) -> None:
    folder, kept = tmp_path / "brand", tmp_path / "plan.json"
    brand("config", "export", str(folder))
    main, workflow = folder / "askel.yaml", folder / "workflows" / f"{NAME}.yaml"
    main.write_text(main.read_text().replace("30.5", "14").replace(f"{NAME}: active", f"{NAME}: paused"))
    workflow.write_text(workflow.read_text() + "# by hand\n")
    plan = brand.json("config", "plan", str(folder), "--output", str(kept))
    assert [(each["kind"], each["name"], each["action"]) for each in plan["changes"]] == [
        ("setting", "retention_days", "change"),
        ("workflow", NAME, "change"),
    ]
    assert "+# by hand" in plan["changes"][1]["lines"]
    assert brand("config", "apply", str(folder), code=3).stderr.count("--yes") == 1

    brand("settings", "set", "min_free_mb", "300")
    refused = brand("config", "apply", str(folder), "--plan", str(kept), code=3).stderr
    assert "has changed since the plan was made" in refused
    assert brand.json("workflow", "show", NAME)["version"] == 1

    brand("config", "plan", str(folder), "--output", str(kept))
    done = brand("config", "apply", str(folder), "--plan", str(kept)).stderr
    assert f"workflow {NAME}: changed" in done
    assert "setting min_free_mb" in done  # left
    shown = brand.json("workflow", "show", NAME)
    assert (shown["version"], shown["state"]) == (2, "paused")
    brand("config", "apply", str(folder), "--yes", "--prune")
    assert "no changes" in brand("config", "plan", str(folder), "--prune").stderr
    [row] = [each for each in brand.json("settings")["settings"] if each["name"] == "min_free_mb"]
    assert row["set"] is False


def test_pruning_deletes_what_the_folder_does_not_name(brand: Askel, tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    folder.mkdir()
    (folder / "askel.yaml").write_text("config: 1\n")
    said = brand("config", "plan", str(folder)).stderr
    assert "left as they are: setting compete" in said
    assert "connection maple-ember" in said
    brand("config", "apply", str(folder), "--prune", "--yes")
    assert brand.json("connections") == {"connections": []}
    assert brand.json("workflow", "list") == {"workflows": []}


def test_a_folder_is_refused_with_all_of_its_problems(brand: Askel, tmp_path: Path) -> None:
    folder = tmp_path / "brand"
    brand("config", "export", str(folder))
    (folder / "askel.yaml").write_text(
        "config: 2\nsettings: {retention_day: 3, pause_after: soon}\nworkflows: {gone: active, "
        f"{NAME}: running}}\ntemplates: {{points: {{for: {{}}}}}}\nother: 1\n"
    )
    (folder / "connections" / "maple-ember.yaml").write_text(
        "on_conflict: maybe\npause_after: x\nkey: pk_1\n"
    )
    (folder / "drafts").mkdir()
    (folder / "drafts" / "alone.yaml").write_text("workflow: alone\n")
    (folder / "workflows" / "bad.yaml").write_bytes(b"workflow: \xff")
    problems = brand.json("config", "plan", str(folder), code=3)["problems"]
    assert [each["message"] for each in problems] == ["it is not UTF-8"]
    (folder / "workflows" / "bad.yaml").unlink()
    said = " ".join(
        json.dumps(each) for each in brand.json("config", "plan", str(folder), code=3)["problems"]
    )
    for part in (
        "takes 1, the form", "did you mean retention_days", "is no time", "there is no workflows/gone.yaml",
        "takes draft, active, paused, not running", "there is no templates/points.yaml", "no such key here",
        "takes fail, strongest, merge", "takes a time such as", "drafts/alone.yaml",
    ):  # fmt: skip
        assert part in said, (part, said)


def test_one_template_makes_a_workflow_for_each_connection(brand: Askel, tmp_path: Path) -> None:
    brand.connect("oak")
    folder = tmp_path / "brand"
    brand("config", "export", str(folder))
    (folder / "templates").mkdir()
    text = FIRST.read_text().replace(NAME, "welcome-${connection}").replace("maple-ember", "${connection}")
    (folder / "templates" / "welcome.yaml").write_text(text)
    main = folder / "askel.yaml"
    main.write_text(
        main.read_text()
        + "templates:\n  welcome:\n    state: active\n    for:\n      maple-ember: {}\n      oak: {}\n"
    )
    brand("config", "apply", str(folder), "--yes")
    found = {each["name"]: each["connection"] for each in brand.json("workflow", "list")["workflows"]}
    assert found == {NAME: "maple-ember", "welcome-maple-ember": "maple-ember", "welcome-oak": "oak"}
    assert "no changes" in brand("config", "export", str(folder)).stderr
    assert "no changes" in brand("config", "plan", str(folder)).stderr


def test_what_is_unsent_has_to_be_answered_before_anything_changes(askel: Askel, tmp_path: Path) -> None:
    askel.connect()
    folder = tmp_path / "brand"
    (folder / "workflows").mkdir(parents=True)
    workflow = folder / "workflows" / "tiers.yaml"
    workflow.write_text(TIERS)
    (folder / "askel.yaml").write_text("workflows: {tiers: active}\n")
    askel("config", "apply", str(folder), "--yes")
    records = tmp_path / "records.jsonl"
    records.write_text(
        json.dumps({"id": "r-1", "event": "tier_reached", "data": {"email": "r@x.co", "tier": 1}})
    )
    askel("ingest", str(records), "--connection", "maple-ember")
    asyncio.run(_hold(askel.home))
    askel("daemon", "--until-idle", code=3)

    workflow.write_text(TIERS.replace("OldTier", "NewTier"))
    (folder / "askel.yaml").write_text("settings: {retention_days: 9}\nworkflows: {tiers: paused}\n")
    refused = askel("config", "apply", str(folder), "--yes", code=3).stderr
    assert "--replan" in refused
    assert "--keep-plans" in refused
    assert not any(each["set"] for each in askel.json("settings")["settings"])
    askel("config", "apply", str(folder), "--yes", "--replan")
    assert "no changes" in askel("config", "plan", str(folder)).stderr
    [row] = askel.json("workflow", "list")["workflows"]
    assert (row["state"], row["version"], row["held"]) == ("paused", 2, 1)
    [hold] = askel.json("hold", "list")["holds"]
    assert hold["version"] == 2


async def _hold(home: Path) -> None:
    async with open_instance(home) as instance:
        await submit(instance, "hold", {"workflow": "tiers", "step": "tier"}, "ada")


def test_a_rollback_runs_the_version_before_as_a_new_one(brand: Askel, tmp_path: Path) -> None:
    assert "has no version before 1" in brand("workflow", "rollback", NAME, code=3).stderr
    _draft(brand, tmp_path)
    brand("workflow", "activate", NAME)
    before = brand("workflow", "export", NAME, "--version", "1").stdout
    assert "runs version 1 again, as version 3" in brand("workflow", "rollback", NAME).stderr
    assert brand("workflow", "export", NAME).stdout == before
    assert "nothing was changed" in brand("workflow", "rollback", NAME, "--to", "1").stderr
