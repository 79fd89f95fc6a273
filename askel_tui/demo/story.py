"""The story of the demonstration, step by step: it prints each line after what the line says has happened."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from askel_tui.core.exit_codes import AskelError
from askel_tui.demo.account import DemoAccount
from askel_tui.demo.records import VIP_EMAIL, first_points
from askel_tui.klaviyo.reads.catalog import read_catalog
from askel_tui.klaviyo.reads.properties import sample_properties
from askel_tui.services import connections, workflows
from askel_tui.services.actors import local_actor
from askel_tui.services.dry_run import dry_run
from askel_tui.services.ingest import ingest
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.store.locks import OwnershipLock
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import Instance, open_instance
from askel_tui.text.shortening import shorten
from askel_tui.text.times import format_time_of_day

CONNECTION = "maple-ember"
WORKFLOW = "first-points-welcome"
ACTOR = "demo"
KEPT_COUNT, LIVE_COUNT, HELD_COUNT = 40, 10, 10
"""The numbers of records that come in before going live, live, and while the list is gone."""

STEP_TIMEOUT_S = 60.0


class StoryBroken(AskelError):
    """A demonstration that went wrong; the message says what was different."""


class Story:
    """Runs the story of one workflow on an instance and a sandbox account, and prints it."""

    def __init__(self, instance: Instance, account: DemoAccount, say: Callable[[str], None]) -> None:
        self._instance = instance
        self._account = account
        self._say = say
        self._records: list[dict[str, Any]] = []

    async def run(self, key: str) -> None:
        """Runs the story from the connection to the count. Raises `StoryBroken`."""
        await self._connect(key)
        await self._browse()
        await self._apply()
        await self._ingest(KEPT_COUNT, f"{KEPT_COUNT} records are kept, nothing is sent yet")
        await self._dry_run()
        home = self._instance.home
        with OwnershipLock(home):
            async with open_instance(home, owner=True) as owner:
                await self._live(Engine(owner))
        await self._compare_counts()

    async def _live(self, engine: Engine) -> None:
        running = asyncio.create_task(engine.run())
        try:
            await self._go_live()
            await self._lose_the_list()
            await self._bring_it_back()
        finally:
            engine.stop()
            await running

    async def _connect(self, key: str) -> None:
        self._say_title("Connect a brand's Klaviyo account")
        document, check = await connections.connect(self._instance, CONNECTION, key, ACTOR)
        present = sum(state == "present" for state in check.scopes.values())
        self._say(f"  {document.name}: account {document.account} ({document.account_name})")
        self._say(
            f"  revision {document.revision}, {present} of {len(check.scopes)} scopes present, nothing lacking"
        )

    async def _browse(self) -> None:
        self._say_title("Look through it")
        client = await self._instance.client(CONNECTION)
        catalog = await read_catalog(client)
        properties = await sample_properties(client)
        counts = ("lists", "segments", "flows", "metrics", "templates")
        self._say("  " + ", ".join(f"{len(getattr(catalog, name))} {name}" for name in counts))
        tier = next((each for each in properties if each.name == "LoyaltyTier"), None)
        if tier is None:
            raise StoryBroken("the property LoyaltyTier was not found in the sandbox")
        samples = ", ".join(tier.samples[:3])
        self._say(f"  property LoyaltyTier: on {tier.seen} of {tier.of} sampled profiles, such as {samples}")

    async def _apply(self) -> None:
        self._say_title("Map the product's fields: a workflow file")
        text = (files("askel_tui.demo") / "first-points-welcome.yaml").read_text(encoding="utf-8")
        applied = await workflows.apply(self._instance, text, "first-points-welcome.yaml", ACTOR)
        self._say(
            f"  {WORKFLOW} version {applied.document.version}, a draft; every target was found and pinned:"
        )
        for step, pinned in applied.document.targets.items():
            self._say(
                f"    {step:8} {pinned.target.type} {pinned.target.name} ({pinned.target.id or 'will be made'})"
            )

    async def _ingest(self, count: int, message: str) -> None:
        records = list(first_points(len(self._records) + 1, count))
        self._records += records
        lines = [json.dumps(record).encode() for record in records]
        result = await ingest(self._instance, CONNECTION, lines, "jsonl", actor=local_actor("demo"))
        if result.accepted != count:
            raise StoryBroken(f"{result.accepted} of {count} records were accepted")
        self._say(f"  {message}")

    async def _dry_run(self) -> None:
        self._say_title("Dry run: exactly what would be written, for the last 30")
        found = await dry_run(self._instance, WORKFLOW, last=30)
        for record in found.records[:2]:
            who = record.profile["email"]
            self._say(f"  {record.record}  {who}  {'new profile' if record.new else 'known'}")
            for operation in record.operations:
                for field, change in operation.changes.items():
                    before, after = _shorten(change["before"]), _shorten(change["after"])
                    self._say(f"      {operation.step:8} {field}: {before} → {after}")
        totals = found.totals
        self._say(
            f"  {totals.records} records, {totals.new} new profiles; list adds: {_format_counts(totals.added)}"
        )
        self._say(
            f"  events: {_format_counts(totals.events)}; flows that would start: {_format_counts(totals.flows)}"
        )

    async def _go_live(self) -> None:
        self._say_title("Go live")
        await workflows.activate(
            self._instance, WORKFLOW, ACTOR, since="2026-01-01T00:00:00+00:00", flows="fire"
        )
        await self._wait_until(
            lambda count: count.waiting == 0 and count.sent > 0, "the kept records were sent"
        )
        self._say("  the kept records were sent; now they come as they happen")
        await self._ingest(LIVE_COUNT, f"{LIVE_COUNT} more shoppers earn their first points")
        await self._wait_until_sent(KEPT_COUNT + LIVE_COUNT)
        self._say_title("The audit: every write, chained")
        for entry in await self._instance.journal.audit_entries(
            AuditFilter(workflow=WORKFLOW), limit=8, newest=True
        ):
            self._say("  " + _audit_line(entry))

    async def _lose_the_list(self) -> None:
        self._say_title("The list is deleted in Klaviyo")
        await self._account.delete_list("Welcome Flow")
        await self._ingest(HELD_COUNT, f"{HELD_COUNT} more records come in")
        hold = await self._wait_for_hold()
        await self._wait_until_sent(KEPT_COUNT + LIVE_COUNT, whole=False)
        self._say(f"  held: step {hold.step} ({hold.cause}): {hold.detail}")
        self._say(f"  {hold.waiting} operations wait; profiles and events go on")
        notices = await self._instance.journal.notices()
        if not notices:
            raise StoryBroken("no notice was given of the hold")
        self._say(f"  notice: {notices[-1].text}")

    async def _bring_it_back(self) -> None:
        self._say_title("It is restored, and the step is released")
        await self._account.restore_list("Welcome Flow")
        released = await submit(self._instance, "release", {"workflow": WORKFLOW, "step": "welcome"}, ACTOR)
        self._say(
            f"  released: {sum(hold['operations'] for hold in released['holds'])} operations go out, in order"
        )
        await self._wait_until_sent(KEPT_COUNT + LIVE_COUNT + HELD_COUNT)

    async def _compare_counts(self) -> None:
        self._say_title("Count, on Klaviyo's side")
        state = await self._account.state()
        welcome = next(each for each in state["lists"] if each["name"] == "Welcome Flow")
        events = [each for each in state["events"] if each["metric"] == "First Points Earned"]
        profiles = {each["email"]: each for each in state["profiles"]}
        welcomed = [record for record in self._records if _email(record) != VIP_EMAIL]
        self._expect_equal(
            "profiles with their tier",
            len(self._records),
            sum(_has_tier(profiles, each) for each in self._records),
        )
        self._expect_equal(
            "members of Welcome Flow: all but the VIP, whom the gate keeps out",
            sorted(map(_email, welcomed)),
            sorted(welcome["emails"]),
        )
        self._expect_equal(
            "events, one for each of them",
            sorted(map(_email, welcomed)),
            sorted(each["email"] for each in events),
        )
        self._expect_equal("different event ids", len(events), len({each["unique_id"] for each in events}))
        checked = await self._instance.journal.verify_audit()
        self._expect_equal("audit entries with a sound chain", None, checked.broken, shown=checked.entries)
        throttled = sum(each.get("429", 0) for each in state["requests"].values())
        self._expect_equal("answers 429", 0, throttled)
        self._say("\nNothing was lost, nothing was doubled.")

    def _expect_equal(self, what: str, expected: object, found: object, shown: object = None) -> None:
        if expected != found:
            raise StoryBroken(f"{what}: expected {_shorten(expected)}, found {_shorten(found)}")
        count = shown if shown is not None else len(found) if isinstance(found, list) else found
        self._say(f"  {count:>4} {what}")

    async def _wait_until(self, enough: Callable[[Any], bool], what: str) -> None:
        end = time.monotonic() + STEP_TIMEOUT_S
        while time.monotonic() < end:
            count = (await self._instance.journal.counts()).get(WORKFLOW)
            if count is not None and enough(count):
                return
            await self._instance.journal.wait_for_change(0.5)
        raise StoryBroken(f"waited {STEP_TIMEOUT_S:g} s in vain: {what}")

    async def _wait_until_sent(self, records: int, *, whole: bool = True) -> None:
        """Waits until no operation waits, and with `whole` also for the event of each record but the VIP's."""
        events = AuditFilter(workflow=WORKFLOW, step="points", status="written")
        end = time.monotonic() + STEP_TIMEOUT_S
        while time.monotonic() < end:
            count = (await self._instance.journal.counts())[WORKFLOW]
            written = len(await self._instance.journal.audit_entries(events, limit=10_000))
            if count.waiting == 0 and (written >= records - 1 or not whole):
                return
            await self._instance.journal.wait_for_change(0.5)
        raise StoryBroken(f"waited {STEP_TIMEOUT_S:g} s in vain for {records} records to be sent")

    async def _wait_for_hold(self) -> Any:
        end = time.monotonic() + STEP_TIMEOUT_S
        while time.monotonic() < end:
            for hold in await self._instance.journal.holds():
                if hold.step == "welcome" and hold.waiting >= HELD_COUNT:
                    return hold
            await self._instance.journal.wait_for_change(0.5)
        raise StoryBroken("the step was not held after its list had been deleted")

    def _say_title(self, text: str) -> None:
        self._say(f"\n— {text}")


def _email(record: dict[str, Any]) -> str:
    return str(record["data"]["shopper"]["email"])


def _has_tier(profiles: dict[str, Any], record: dict[str, Any]) -> bool:
    profile = profiles.get(_email(record))
    tier = str(record["data"]["shopper"]["tier"]).title()
    return profile is not None and profile["properties"].get("LoyaltyTier") == tier


def _audit_line(entry: AuditEntry) -> str:
    who = next(iter((entry.profile or {}).values()), "")
    status = (entry.response or {}).get("status") or ""
    at = format_time_of_day(entry.at)
    return f"{at}  {entry.kind:16} {entry.step or '':8} {who:32} {entry.status} {status}  {entry.hash[:8]}"


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _shorten(value: object) -> str:
    if value is None:
        return "–"
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return shorten(text, 90)
