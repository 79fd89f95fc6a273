"""Nobody who opted out is subscribed again without newer proof, who gives it is, and each refusal is explained."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from askel_tui.contract.calls import Call
from askel_tui.core.records.record import Record
from askel_tui.klaviyo.reads.profiles import read_opt_outs
from askel_tui.services.dry_run import dry_run
from askel_tui.services.status import read_status
from tests.support.bad_days import assert_in_order, brisk, change, engine, held, settled, until
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

JOIN = """\
askel: 2
workflow: join
connection: maple-ember
trigger: joined
profile: {email: data.email, phone_number: data.phone}
steps:
  - id: in
    subscribe: {channels: [email], list: Newsletter, consent_at: data.agreed}
  - id: after
    track_event: {metric: Joined Club}
"""
TEXTS = JOIN.replace("[email]", "[email, sms]")
AGREED = datetime(2026, 5, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def _email(number: int) -> str:
    return f"o{number}@mapleandember.example"


def _joined(number: int, agreed: datetime | None = AGREED, **data: Any) -> dict[str, Any]:
    given = {} if agreed is None else {"agreed": agreed.isoformat()}
    return {"id": f"j-{number}", "event": "joined", "data": {"email": _email(number), **given, **data}}


def _put(bench: Workbench, number: int, **consent: Any) -> None:
    """A profile that shows this consent, by channel; `suppressions` and `list_suppressions` as they are."""
    change(bench, "POST", "profiles", profiles=[{"email": _email(number), **consent.pop("who", {})}])
    named = {
        name if name.endswith("suppressions") else f"{name}.marketing": each for name, each in consent.items()
    }
    change(bench, "PUT", f"profiles/{_email(number)}/consent", **named)


def _left(at: datetime | None) -> dict[str, Any]:
    return {"consent": "UNSUBSCRIBED", "last_updated": at.isoformat() if at else None}


def _suppressed(at: datetime, reason: str = "USER_SUPPRESSED", **more: str) -> list[dict[str, str]]:
    return [{"reason": reason, "timestamp": at.isoformat(), **more}]


def _consent(bench: Workbench, number: int, channel: str = "email") -> str | None:
    found: str | None = bench.profile(_email(number))["consent"].get(f"{channel}.marketing")
    return found


def _subscribed(bench: Workbench) -> dict[str, list[str]]:
    """The channels of each row that a subscribe call carried, by e-mail."""
    rows = [
        row["attributes"]
        for one in bench.requests(Call.BULK_SUBSCRIBE_PROFILES, after=bench.requests_since)
        for row in one["body"]["data"]["attributes"]["profiles"]["data"]
    ]
    return {row.get("email") or row["phone_number"]: sorted(row["subscriptions"]) for row in rows}


@pytest.mark.parametrize("count", [150, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_a_thousand_people_with_mixed_consent(bench: Workbench, count: int) -> None:
    """Whom the plain rule lets through is subscribed, nobody else, and the audit and the counts say why."""
    chance = random.Random(1)
    allowed: dict[int, bool] = {}
    records = []
    for number in range(count):
        agreed = None if chance.random() < 0.1 else AGREED + chance.choice([-1, 0, 1]) * chance.random() * DAY
        opted = AGREED + chance.choice([-1, 1]) * chance.random() * DAY
        newer = agreed is not None and agreed > opted
        kind = chance.choice(
            ["new", "never", "in", "out", "undated", "suppressed", "listed", "elsewhere", "back"]
        )
        allowed[number] = newer if kind in ("out", "suppressed", "listed") else kind != "undated"
        ways: dict[str, dict[str, Any]] = {
            "never": {"email": {"consent": "NEVER_SUBSCRIBED"}},
            "in": {"email": {"consent": "SUBSCRIBED", "last_updated": opted.isoformat()}},
            "out": {"email": _left(opted)},
            "undated": {"email": _left(None)},
            "suppressed": {"suppressions": _suppressed(opted)},
            "listed": {"list_suppressions": _suppressed(opted, "UNSUBSCRIBE", list_id="MeNews")},
            "elsewhere": {"list_suppressions": _suppressed(opted, "UNSUBSCRIBE", list_id="MeProm")},
            # The shopper who ticks the box again at checkout, in another zone.
            "back": {"email": _left(AGREED), "suppressions": _suppressed(AGREED, "UNSUBSCRIBE")},
        }
        if kind != "new":
            _put(bench, number, **ways[kind])
        if kind == "back":
            agreed = AGREED + DAY
        records.append(_joined(number, agreed))
    await bench.apply(JOIN)
    typed = [Record(each["id"], each["event"], "2026-05-02T00:00:00Z", each["data"]) for each in records]
    announced = (await dry_run(bench.instance, "join", records=typed)).totals
    await bench.take(records)
    await bench.drain()

    refused = [number for number, yes in allowed.items() if not yes]
    assert count / 10 < len(refused) < count / 2
    assert set(_subscribed(bench)) == {_email(number) for number, yes in allowed.items() if yes}
    entries = await bench.audit(status="skipped")
    assert {each.record for each in entries} == {f"j-{number}" for number in refused}
    assert all("not subscribed again: email: " in str(each.response) for each in entries)
    # The rest of the record goes on, and nothing fails.
    ends = await settled(bench)
    assert (ends["in unconfirmed"], ends["in skipped"]) == (count - len(refused), len(refused))
    assert ends["after written"] + ends["after unconfirmed"] == count
    [workflow] = (await read_status(bench.instance)).workflows
    assert workflow.warnings == {"consent_refused": len(refused)}
    assert (announced.refused, announced.subscribed > 0, announced.lifted > 0) == (len(refused), True, True)


async def test_channels_are_decided_one_by_one(bench: Workbench) -> None:
    who = {"who": {"phone_number": "+442079460018"}}
    _put(bench, 1, **who, email=_left(AGREED + DAY), sms=_left(AGREED - DAY))
    _put(bench, 2, who={"phone_number": "+442079460019"}, sms=_left(AGREED + DAY))
    await bench.apply(TEXTS)
    await bench.take([_joined(1, phone="+442079460018"), _joined(2, phone="+442079460019")])
    await bench.drain()
    assert _subscribed(bench) == {"+442079460018": ["sms"], _email(2): ["email"]}
    assert [_consent(bench, 1, each) for each in ("email", "sms")] == ["UNSUBSCRIBED", "SUBSCRIBED"]
    entries = {each.record: str(each.response) for each in await bench.audit(status="unconfirmed")}
    assert "not subscribed again: email: unsubscribed at" in entries["j-1"]
    assert "not subscribed again: sms: unsubscribed at" in entries["j-2"]
    [workflow] = (await read_status(bench.instance)).workflows
    assert workflow.warnings == {"consent_refused": 2}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("proof: record", {"joined": "SUBSCRIBED", "late": "UNSUBSCRIBED"}),
        ("resubscribe: true", {"joined": "SUBSCRIBED", "late": "SUBSCRIBED"}),
        ("refuse: true", {"joined": "UNSUBSCRIBED", "late": "UNSUBSCRIBED"}),
    ],
)
async def test_the_other_choices(bench: Workbench, choice: str, expected: dict[str, str]) -> None:
    for number in (1, 2):
        _put(bench, number, email=_left(AGREED))
    await bench.apply(JOIN.replace("consent_at: data.agreed", choice))
    await bench.take([
        {**_joined(1), "time": (AGREED + DAY).isoformat()},
        {**_joined(2), "time": (AGREED - DAY).isoformat()},
    ])  # fmt: skip
    await bench.drain()
    assert {"joined": _consent(bench, 1), "late": _consent(bench, 2)} == expected
    asked = bench.requests(Call.GET_PROFILES, after=bench.requests_since)
    looked = any("subscriptions" in str(one["query"]) and "o1@" in str(one["query"]) for one in asked)
    assert looked == (choice != "resubscribe: true")


async def test_files_without_the_marker_go_on_as_before(bench: Workbench) -> None:
    _put(bench, 1, email=_left(AGREED + DAY))
    text = JOIN.removeprefix("askel: 2\n").replace(", consent_at: data.agreed", "")
    await bench.apply(text)
    await bench.take([_joined(1)])
    await bench.drain()
    assert _consent(bench, 1) == "SUBSCRIBED"
    [workflow] = (await read_status(bench.instance)).workflows
    assert any("opted out" in note and "`refuse: true`" in note for note in workflow.notes)


async def test_where_consent_cannot_be_read_the_step_is_held(bench: Workbench) -> None:
    _put(bench, 1, email={"consent": None})
    await bench.apply(JOIN)
    await bench.take([_joined(1), _joined(2)])
    await bench.drain()
    assert _subscribed(bench) == {}
    assert await held(bench) == {("join", "in"): ("consent_unreadable", 2)}


@pytest.mark.slow
async def test_where_consent_cannot_be_read_the_step_goes_on_once_it_can(bench: Workbench) -> None:
    """Once Klaviyo does not answer as it should, and once it does not show what it should."""
    bench.set_timing(probe_interval_ms=20)
    _put(bench, 1)
    _put(bench, 2, email={"consent": None})
    await bench.apply(JOIN)
    bench.fault(Call.GET_PROFILES, status=404)
    await bench.take([_joined(1)])
    async with engine(bench):
        await until(bench, partial(_is_held, bench, 1))
        bench.sandbox.world.faults.all.clear()
        await until(bench, partial(_is_held, bench, 0))
    assert _subscribed(bench) == {_email(1): ["email"]}
    await bench.take([_joined(2)])
    async with engine(bench):
        await until(bench, partial(_is_held, bench, 1))
        assert _email(2) not in _subscribed(bench)
        _put(bench, 2, email={"consent": "NEVER_SUBSCRIBED"})
        await until(bench, partial(_is_held, bench, 0))
    await bench.drain()
    assert set(_subscribed(bench)) == {_email(1), _email(2)}
    assert (await settled(bench))["in unconfirmed"] == 2


async def _is_held(bench: Workbench, count: int) -> bool:
    expected = {("join", "in"): ("consent_unreadable", 1)} if count else {}
    return await held(bench) == expected


async def test_an_identifier_that_cannot_be_asked_for_stops_only_its_record(bench: Workbench) -> None:
    await bench.apply(JOIN)
    bench.fault(Call.GET_PROFILES, status=400, times=1)
    await bench.take(_joined(number) for number in range(4))
    await bench.drain()
    assert len(_subscribed(bench)) == 4


async def test_what_was_read_too_long_ago_is_read_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody opts out while the first reading takes more than a minute."""
    late, clock, readings = [0], bench.instance.clock, []
    bench.set_clock(lambda: clock() + late[0])

    async def slow(*given: Any, **more: Any) -> Any:
        found = await read_opt_outs(*given, **more)
        readings.append(bench.instance.clock())
        if len(readings) == 1:
            _put(bench, 1, email=_left(AGREED + DAY))
            late[0] = 60_001
        return found

    monkeypatch.setattr("askel_tui.sync.sending.preparation.read_opt_outs", slow)
    await bench.apply(JOIN)
    await bench.take([_joined(1), _joined(2)])
    await bench.drain()
    assert _subscribed(bench) == {_email(2): ["email"]}
    assert len(readings) == 2
    assert (await settled(bench))["in skipped"] == 1


async def test_an_attempt_that_comes_too_late_reads_again(bench: Workbench) -> None:
    """Klaviyo's limit sends a subscription away for more than a minute, in which somebody opts out."""
    bench.fault(Call.BULK_SUBSCRIBE_PROFILES, status=429, retry_after=1, times=1)
    [limit], clock = bench.sandbox.world.faults.all, bench.instance.clock
    left: list[bool] = []

    def later() -> int:
        if limit.struck and not left:
            left.append(True)
            _put(bench, 1, email=_left(AGREED + DAY))
        return clock() + 60_001 * bool(limit.struck)

    bench.set_clock(later)
    await bench.apply(JOIN)
    await bench.take([_joined(1), _joined(2)])
    await bench.drain()
    # The one that was limited, and the one that was read again for.
    assert _consent(bench, 1) == "UNSUBSCRIBED"
    assert _consent(bench, 2) == "SUBSCRIBED"
    assert (await settled(bench))["in skipped"] == 1
    await assert_in_order(bench)


async def test_an_own_opt_out_counts_before_the_account_shows_it(bench: Workbench) -> None:
    change(bench, "PATCH", "settings", consent_time=3_600.0)
    _put(bench, 1)
    bench.put_on_list("Newsletter", _email(1))
    leave = JOIN.replace("join\n", "leave\n").replace("joined", "left")
    steps = leave[: leave.index("  - id: in")] + "  - id: out\n    unsubscribe: {channels: [email]}\n"
    await bench.apply(JOIN)
    await bench.apply(steps)
    await bench.take([{**_joined(1), "id": "l-1", "event": "left"}])
    await bench.drain()
    # Another run, which knows of it from the journal only.
    await bench.take([_joined(1)])
    await bench.drain()
    assert _subscribed(bench) == {}
    assert await settled(bench) == {"out unconfirmed": 1, "in skipped": 1, "after written": 1}
    await bench.take([{**_joined(1, datetime.now(UTC) + timedelta(seconds=2)), "id": "again"}])
    await bench.drain()
    assert _subscribed(bench) == {_email(1): ["email"]}
