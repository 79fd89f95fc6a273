"""Activating a repaired version while something is unsent: shown, asked about, planned anew by a flag."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.instance import open_instance
from tests.support.askel import Askel

pytestmark = pytest.mark.clock

FILE = """\
workflow: tiers
connection: maple-ember
trigger: tier_reached
profile: {email: data.email}
steps:
  - id: tier
    upsert_profile: {properties: {OldTier: data.tier}}
"""


async def _hold(home: Path) -> None:
    async with open_instance(home) as instance:
        await submit(instance, "hold", {"workflow": "tiers", "step": "tier"}, "ada")


@pytest.fixture
def waiting(askel: Askel, tmp_path: Path) -> Path:
    """Two records whose step a person holds under version 1; version 2 is applied. Returns a scratch file."""
    askel.connect()
    file = tmp_path / "tiers.yaml"
    file.write_text(FILE)
    askel("workflow", "apply", str(file))
    askel("workflow", "activate", "tiers")
    records = tmp_path / "records.jsonl"
    records.write_text(
        "".join(
            json.dumps({"id": f"r-{n}", "event": "tier_reached", "data": {"email": f"r{n}@x.co", "tier": n}})
            + "\n"
            for n in range(2)
        )
    )
    askel("ingest", str(records), "--connection", "maple-ember")
    asyncio.run(_hold(askel.home))
    askel("daemon", "--until-idle", code=3)
    file.write_text(FILE.replace("OldTier", "NewTier"))
    askel("workflow", "apply", str(file))
    return tmp_path / "all.jsonl"


def test_without_a_terminal_it_names_the_flags_and_changes_nothing(askel: Askel, waiting: Path) -> None:
    asked = askel("workflow", "activate", "tiers", "--all", str(waiting), code=3)
    assert "--replan" in asked.stderr
    assert "--keep-plans" in asked.stderr
    assert "properties.OldTier: 1 → –" in asked.stdout
    assert "properties.NewTier: – → 1" in asked.stdout
    assert askel.json("workflow", "list")["workflows"][0]["version"] == 1
    [first, second] = map(json.loads, waiting.read_text().splitlines())
    assert (first["record"], second["record"]) == ("r-0", "r-1")
    assert second["operations"][0]["after"]["body"]["properties"] == {"NewTier": 1}

    done = askel("workflow", "activate", "tiers", "--replan")
    assert "2 planned anew" in done.stderr
    [hold] = askel.json("hold", "list")["holds"]
    assert (hold["version"], hold["waiting"]) == (2, 2)
    assert hold["reasons"] == [{"cause": "person", "detail": "held by ada"}]
    assert askel.json("status")["holds"][0]["reasons"] == hold["reasons"]


def test_holds_are_planned_anew_later(askel: Askel, waiting: Path) -> None:
    askel("workflow", "activate", "tiers", "--keep-plans")
    assert "--yes" in askel("hold", "replan", "tiers", code=3).stderr
    result = askel.json("hold", "replan", "tiers", "--yes")
    assert result["replanned"] == {"replanned": 2}
    assert result["preview"]["totals"]["replanned"] == {"tier": 2}
    assert askel.json("hold", "replan", "tiers")["replanned"] == {}


def test_what_waits_of_one_step_is_planned_anew(askel: Askel, tmp_path: Path) -> None:
    """Two steps are held, each for a record of its own: the other one keeps its plan."""
    askel.connect()
    file = tmp_path / "two.yaml"
    text = FILE.replace("tier_reached\n", "tier_reached\nwhen: data.tier != `9`\n") + (
        "  - id: news\n    add_to_list: Newsletter\n"
    )
    file.write_text(text)
    askel("workflow", "apply", str(file))
    askel("workflow", "activate", "tiers")

    async def hold(step: str) -> None:
        async with open_instance(askel.home) as instance:
            await submit(instance, "hold", {"workflow": "tiers", "step": step}, "ada")

    for number, step in enumerate(("news", "tier")):
        asyncio.run(hold(step))
        record = {
            "id": f"r-{number}",
            "event": "tier_reached",
            "data": {"email": f"s{number}@x.co", "tier": 1},
        }
        askel("ingest", "-", "--connection", "maple-ember", stdin=json.dumps(record))
        askel("daemon", "--until-idle", code=3)
    file.write_text(text.replace("OldTier", "NewTier").replace("Newsletter", "Promotions"))
    askel("workflow", "apply", str(file))
    askel("workflow", "activate", "tiers", "--keep-plans")
    shown = askel("hold", "replan", "tiers", "tier", code=3)
    assert "r-1" in shown.stdout
    assert "r-0" not in shown.stdout
    result = askel.json("hold", "replan", "tiers", "tier", "--yes")
    assert result["replanned"] == {"replanned": 2}
    waiting = {
        (each["version"], each["step"]): each["waiting"] for each in askel.json("hold", "list")["holds"]
    }
    assert {key: number for key, number in waiting.items() if number} == {
        (1, "news"): 1,
        (2, "news"): 1,
        (2, "tier"): 1,
    }
    [decided] = askel.lines("audit", "--kind", "replan")
    assert (decided["step"], decided["workflow"]) == ("tier", "tiers")
    assert "Did you mean 'tier'?" in askel("hold", "replan", "tiers", "tiar", "--yes", code=2).stderr
    assert sum(each["waiting"] for each in askel.json("hold", "list")["holds"] if each["version"] == 1) == 1
