"""The dry run says what live does: for random records and accounts, operation by operation and field by field."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from askel_tui.core.records.record import Record
from askel_tui.services.dry_run import dry_run
from askel_tui.services.dry_run_result import DryRun, RecordPreview
from tests.support.bad_days import change
from tests.support.sandbox import running
from tests.support.workbench import NAME, Workbench, workbench

WORKFLOW = """\
workflow: random
connection: maple-ember
trigger: random
profile: {email: data.email, phone_number: data.phone, external_id: data.ref}
steps:
"""
STEPS = (
    "upsert_profile: {first_name: data.name, properties: {LoyaltyTier: data.tier, Points: data.points}}",
    "add_to_list: Kiln Club",
    "remove_from_list: Promotions",
    "track_event: {metric: Mug Thrown, time: data.at, properties: {Tier: data.tier}}",
    "subscribe: {channels: [email], list: Newsletter}",
    "subscribe: {channels: [sms], list: SMS Club}",
    "subscribe: {channels: [email], list: Newsletter, historical: true, consented_at: data.at}",
    "unsubscribe: {channels: [email], list: Promotions}",
    "unsubscribe: {channels: [email], list: Newsletter}",
    "unsubscribe: {channels: [email]}",
    "unsubscribe: {channels: [email], list: Promotions, everywhere: true}",
    "subscribe: {channels: [email, sms], list: Newsletter, require: any}",
    "subscribe: {channels: [email, sms], list: Newsletter, require: any, consent_at: data.at}",
    "subscribe: {channels: [email], proof: record}",
    "subscribe: {channels: [email], list: Promotions, refuse: true}",
    "require_segment: {segment: Gold Tier, member: true}",
    "require_segment: {segment: VIP, member: false}",
)
EMAILS = [f"p{number}@mapleandember.example" for number in range(4)]
PHONES = [f"+44207946070{number}" for number in range(3)]
REFS = [f"P-{number}" for number in range(3)]
TIMES = ["2020-01-02T03:04:05Z", "2026-03-01T00:00:00Z", "2999-01-01T00:00:00Z"]


@pytest_asyncio.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workbench]:
    async with running() as sandbox, workbench(tmp_path, sandbox, monkeypatch) as one:
        yield one


def _fill_account(bench: Workbench, chance: random.Random) -> None:
    """Profiles that hold some of the identifiers, on some of the lists."""
    free = {"email": EMAILS[:], "phone_number": PHONES[:], "external_id": REFS[:]}
    people = []
    for _ in range(chance.randint(0, 5)):
        person: dict[str, Any] = {}
        for name, values in free.items():
            if values and chance.random() < 0.5:
                person[name] = values.pop(chance.randrange(len(values)))
        if person:
            tier = {"LoyaltyTier": chance.choice(["Gold", "Silver"])} if chance.random() < 0.5 else {}
            people.append({**person, "first_name": chance.choice("AB"), "properties": tier})
    if people:
        change(bench, "POST", "profiles", profiles=people)
    for person in people:
        left = {"consent": "UNSUBSCRIBED", "last_updated": chance.choice(TIMES[:2])}
        away = {"list_id": "MeNews", "reason": "UNSUBSCRIBE", "timestamp": chance.choice(TIMES[:2])}
        shown: dict[str, Any] = {
            f"{name}.marketing": left for name in ("email", "sms") if chance.random() < 0.3
        }
        if chance.random() < 0.3:
            shown["list_suppressions"] = [away]
        if "email" in person:
            change(bench, "PUT", f"profiles/{person['email']}/consent", **shown)
    for name in ("Promotions", "Newsletter", "Kiln Club"):
        known = [each["email"] for each in people if "email" in each]
        bench.put_on_list(name, *(each for each in known if chance.random() < 0.5))


def _records(chance: random.Random) -> list[dict[str, Any]]:
    found = []
    for number in range(6):
        data: dict[str, Any] = {"email": chance.choice(EMAILS), "name": chance.choice("ABC")}
        if chance.random() < 0.6:
            data["phone"] = chance.choice(PHONES)
        if chance.random() < 0.3:
            data["ref"] = chance.choice(REFS)
        data |= {"tier": chance.choice(["Gold", "Silver"]), "at": chance.choice(TIMES), "points": number}
        found.append({"id": f"x-{number}", "event": "random", "time": "2026-03-01T00:00:00Z", "data": data})
    return found


def _promised(shown: RecordPreview) -> dict[str, set[str]]:
    """How each step may end, as the dry run says it: several ends where it depends on something."""
    ends: dict[str, set[str]] = {}
    for skip in shown.skipped:
        ends.setdefault(skip.step, set()).add("skipped")
    for operation in shown.operations:
        anything = {"written", "unconfirmed", "passed", "skipped", "failed"}
        sent = {"passed"} if operation.request is None else {"written", "unconfirmed"}
        if operation.passes is False:
            sent = {"skipped"}
        ends.setdefault(operation.step, set()).update(anything if operation.depends else sent)
    for problem in shown.problems:
        ends[problem.step or ""] = {"failed"} | (ends.get(problem.step or "", set()) & {"skipped"})
    return ends


async def _check(bench: Workbench, seed: int) -> None:
    chance = random.Random(seed)
    _fill_account(bench, chance)
    steps = [f"  - id: s{n}\n    {each}\n" for n, each in enumerate(chance.sample(STEPS, 5))]
    bench.instance.state.change_connection(NAME, on_conflict=chance.choice(["fail", "strongest", "merge"]))
    await bench.apply(WORKFLOW + "".join(steps))
    records = _records(chance)
    typed = [Record(each["id"], each["event"], each["time"], each["data"]) for each in records]
    announced = await dry_run(bench.instance, "random", records=typed)
    before = len(bench.events("Mug Thrown"))
    for record in records:
        await bench.take([record])
        await bench.drain()
    await _compare(bench, announced, seed, before, steps)


async def _compare(bench: Workbench, announced: DryRun, seed: int, before: int, steps: list[str]) -> None:
    merges = 0
    for shown in announced.records:
        ends: dict[str, set[str]] = {}
        for entry in await bench.audit(record=shown.record):
            merges += entry.kind == "merge"
            known = str((entry.response or {}).get("detail")).startswith("known as")
            if entry.step and entry.kind != "merge" and not known:
                ends.setdefault(entry.step, set()).add(entry.status)
        promised = _promised(shown)
        about = (seed, shown, ends, "".join(steps))
        for step, seen in ends.items():
            assert seen & promised.get(step, set()), about
        if not any(each.depends for each in shown.operations):
            failed = {problem.step for problem in shown.problems}
            unattempted = {skip.step for skip in shown.skipped if "would be refused" in skip.why}
            assert promised.keys() - unattempted == ends.keys() | failed, about
    if not any(each.depends for shown in announced.records for each in shown.operations):
        assert merges == announced.totals.merges
        assert len(bench.events("Mug Thrown")) - before == announced.totals.events.get("Mug Thrown", 0)
        _compare_fields(bench, announced, seed)


def _compare_fields(bench: Workbench, announced: DryRun, seed: int) -> None:
    """The last change of each field is what the account holds."""
    last: dict[tuple[str, str], Any] = {}
    for shown in announced.records:
        for operation in shown.operations:
            for field, each in operation.changes.items():
                if operation.kind == "upsert_profile" and "email" in shown.profile:
                    last[str(shown.profile["email"]), field] = each["after"]
    for (email, field), after in last.items():
        holder = next((each for each in bench.state()["profiles"] if each.get("email") == email), None)
        if (
            holder is None
            or field in ("email", "phone_number", "external_id")
            or field.startswith("consent ")
        ):
            continue
        name = field.removeprefix("properties.")
        held = holder["properties"] if field.startswith("properties.") else holder
        assert json.dumps(held.get(name)) == json.dumps(after), (seed, email, field)


@pytest.mark.parametrize("seed", range(1))
async def test_live_does_what_the_dry_run_says(bench: Workbench, seed: int) -> None:
    await _check(bench, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, *range(100, 160)])
async def test_live_does_what_the_dry_run_says_for_many_seeds(bench: Workbench, seed: int) -> None:
    await _check(bench, seed)
