"""What Klaviyo accepts without saying more is read back, and the audit says what showed."""

from __future__ import annotations

import pytest

from askel_tui.sync.confirmation import confirmations
from tests.support.bad_days import WELCOME, brisk, engine, until
from tests.support.workbench import NAME, Workbench, bench_of, points

__all__ = ["brisk"]

pytestmark = [pytest.mark.clock, pytest.mark.usefixtures("brisk")]

JOIN = """\
workflow: join
connection: maple-ember
trigger: joined
profile: {email: data.email, phone_number: data.phone}
steps:
  - id: in
    subscribe: {channels: [email], list: Newsletter}
"""
LEAVE = """\
workflow: leave
connection: maple-ember
trigger: left
profile: {email: data.email}
steps:
  - id: out
    unsubscribe: {channels: [email], list: Newsletter}
"""
TEXTS = JOIN.replace("workflow: join", "workflow: texts").replace(
    "[email], list: Newsletter", "[sms], list: SMS Club"
)
PENDING = "double opt-in pending"


@pytest.fixture(autouse=True)
def _soon(request: pytest.FixtureRequest) -> None:
    if (bench := bench_of(request)) is not None:
        bench.set_timing(first_read_back_ms=50, confirmation_interval_ms=10)


def _happened(event: str, number: int, **data: str) -> dict[str, object]:
    return {
        "id": f"{event}-{number}",
        "event": event,
        "data": {"email": f"j{number}@mapleandember.example", **data},
    }


async def _said(bench: Workbench, step: str) -> list[tuple[str, object]]:
    """(status, detail) of the entries of a step, in order."""
    return [(entry.status, (entry.response or {}).get("detail")) for entry in await bench.audit(step=step)]


async def _until_said(bench: Workbench, step: str, entries: int) -> list[tuple[str, object]]:
    async def there() -> bool:
        return len(await _said(bench, step)) >= entries

    await until(bench, there)
    return await _said(bench, step)


async def test_consent_is_confirmed_once_it_shows(either: Workbench) -> None:
    either.sandbox.world.change_settings({"consent_time": 0.4})
    await either.apply(JOIN)
    await either.take(_happened("joined", number) for number in range(3))
    async with engine(either):
        said = await _until_said(either, "in", 6)
    assert said == [("unconfirmed", None)] * 3 + [("written", "read back")] * 3
    entries = await either.audit(step="in")
    assert [entry.operation for entry in entries[:3]] == [entry.operation for entry in entries[3:]]
    assert [(entry.response or {}).get("entry") for entry in entries[3:]] == [
        entry.seq for entry in entries[:3]
    ]
    assert {entry.kind for entry in entries} == {"subscribe"}
    assert (await either.instance.journal.verify_audit())[1] is None


async def test_a_withdrawal_from_a_list_is_confirmed_by_having_left_it(either: Workbench) -> None:
    await either.apply(JOIN)
    await either.apply(LEAVE)
    await either.take([_happened("joined", 1)])
    await either.drain()
    await either.take([_happened("left", 1)])
    async with engine(either):
        assert await _until_said(either, "out", 2) == [("unconfirmed", None), ("written", "read back")]


async def test_a_restart_goes_on_and_says_nothing_twice(bench: Workbench) -> None:
    bench.set_timing(first_read_back_ms=60_000)
    await bench.apply(JOIN)
    await bench.take(_happened("joined", number) for number in range(2))
    await bench.drain()
    assert await _said(bench, "in") == [("unconfirmed", None)] * 2
    bench.set_timing(first_read_back_ms=0)
    for _ in range(2):
        async with engine(bench):
            await _until_said(bench, "in", 4)
    assert len(await _said(bench, "in")) == 4
    assert await bench.instance.journal.unconfirmed_writes(0, 0, 10) == ([], (await bench.audit())[-1].seq)


async def test_double_opt_in_is_a_state_of_its_own(bench: Workbench) -> None:
    lists = {each.name: each for each in bench.sandbox.account.lists.values()}
    name = next(name for name, each in lists.items() if each.opt_in_process == "double_opt_in")
    await bench.apply(TEXTS.replace("SMS Club", name))
    await bench.take([_happened("joined", 1, phone="+442079460018")])
    async with engine(bench):
        said = await _until_said(bench, "in", 2)
    assert [status for status, _ in said] == ["unconfirmed", PENDING]
    [entry] = await bench.audit(status=PENDING)
    assert entry.workflow == "texts"


async def test_what_never_shows_is_said_so(bench: Workbench) -> None:
    bench.sandbox.world.change_settings({"consent_time": 3600.0})
    bench.set_timing(max_confirmation_wait_ms=200)
    await bench.apply(JOIN)
    await bench.take([_happened("joined", 1)])
    async with engine(bench):
        said = await _until_said(bench, "in", 2)
    assert [status for status, _ in said] == ["unconfirmed", "unconfirmed"]
    assert "not seen" in str(said[1][1])
    assert (await bench.instance.journal.unconfirmed_writes(0, 0, 10))[0] == []


async def test_events_of_a_bulk_call_are_confirmed_by_sample(bench: Workbench) -> None:
    bench.set_limits(max_single_backlog_s=1)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(300))
    await bench.drain()
    calls = bench.requests("bulk_create_events")
    waiting = (await bench.instance.journal.unconfirmed_writes(0, 0, 1_000))[0]
    assert len(calls) <= len(waiting) <= 3 * len(calls)
    async with engine(bench):

        async def done() -> bool:
            return (await bench.instance.journal.unconfirmed_writes(0, 0, 1_000))[0] == []

        await until(bench, done)
    read = [
        entry
        for entry in await bench.audit(step="points")
        if (entry.response or {}).get("detail") == "read back"
    ]
    assert {entry.operation for entry in read} == {each.operation for each in waiting}
    assert {entry.status for entry in read} == {"written"}


async def test_a_lost_event_is_noticed(bench: Workbench) -> None:
    bench.set_limits(max_single_backlog_s=1)
    await bench.apply(WELCOME)
    await bench.take(points(number) for number in range(300))
    await bench.drain()
    waiting = (await bench.instance.journal.unconfirmed_writes(0, 0, 1_000))[0]
    for each in waiting[:1]:
        profile = bench.profile(str(each.profile.email))
        bench.sandbox.account.events_of_profile[profile["id"]].clear()
    bench.set_timing(max_confirmation_wait_ms=100)
    async with engine(bench):

        async def done() -> bool:
            return (await bench.instance.journal.unconfirmed_writes(0, 0, 1_000))[0] == []

        await until(bench, done)
    lost = [
        entry
        for entry in await bench.audit(step="points")
        if "not seen" in str((entry.response or {}).get("detail"))
    ]
    assert [entry.record for entry in lost] == [waiting[0].record]


async def test_an_account_that_does_not_answer_is_asked_again(bench: Workbench) -> None:
    await bench.apply(JOIN)
    await bench.take([_happened("joined", 1)])
    await bench.drain()
    bench.fault("get_profiles", status=503, times=8)
    async with engine(bench):
        assert (await _until_said(bench, "in", 2))[1] == ("written", "read back")


async def test_a_connection_that_was_taken_away_is_not_asked(bench: Workbench) -> None:
    await bench.apply(JOIN)
    await bench.take([_happened("joined", 1)])
    await bench.drain()
    seen = bench.sandbox.world.logged_count
    bench.instance.state.remove_connection(NAME)
    reader = confirmations.Confirmations(bench.instance)
    await reader.run_round()
    assert bench.requests(after=seen) == []
