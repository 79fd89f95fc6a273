"""Rate-limit slots: never more in any window than its limit, whichever process takes them; requests count."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.store.journal.interface import Journal
from askel_tui.store.sqlite.journal import open_journal
from tests.support.examples import examples
from tests.unit.journal.samples import CONNECTION, NOW, Desk, Opener, intent

CALL = "create_or_update_profile"
SECOND = [(2, 1_000)]


async def test_a_window_is_full_until_an_answer_and_its_length_have_passed(journal: Journal) -> None:
    first, none = await journal.take_slot("A", CALL, SECOND, NOW)
    second, _ = await journal.take_slot("A", CALL, SECOND, NOW + 10)
    assert first is not None
    assert second is not None
    assert none == 0
    # Neither was answered: they count until a minute after their taking, and the window.
    assert await journal.take_slot("A", CALL, SECOND, NOW + 20) == (None, 60_980)
    await journal.release_slot(first, NOW + 50)
    assert await journal.take_slot("A", CALL, SECOND, NOW + 60) == (None, 990)
    assert await journal.take_slot("A", CALL, SECOND, NOW + 1_049) == (None, 1)
    third, _ = await journal.take_slot("A", CALL, SECOND, NOW + 1_050)
    assert third is not None


async def test_every_window_must_have_room(journal: Journal) -> None:
    windows = [(10, 1_000), (3, 60_000)]
    for number in range(3):
        slot, _ = await journal.take_slot("A", CALL, windows, NOW + number)
        assert slot is not None
        await journal.release_slot(slot, NOW + number)
    assert await journal.take_slot("A", CALL, windows, NOW + 5_000) == (None, 55_000)
    assert await journal.take_slot("A", CALL, [(0, 1_000)], NOW) == (None, 1_000)
    assert (await journal.take_slot("A", CALL, [], NOW))[0] is not None


async def test_accounts_and_calls_have_their_own_windows(journal: Journal) -> None:
    one = [(1, 1_000)]
    for account, call in (("A", CALL), ("A", "create_event"), ("B", CALL)):
        assert (await journal.take_slot(account, call, one, NOW))[0] is not None
        assert (await journal.take_slot(account, call, one, NOW))[0] is None


async def test_requests_take_their_slot_until_they_are_answered(desk: Desk) -> None:
    planned = await desk.planned(1)
    request = await desk.journal.open_request(intent(planned[:1]), NOW)
    assert await desk.journal.take_slot("MpEmbr", CALL, [(1, 1_000)], NOW + 5) == (None, 60_995)
    await desk.journal.answer_request(request, now=NOW + 100)
    assert await desk.journal.take_slot("MpEmbr", CALL, [(1, 1_000)], NOW + 500) == (None, 600)
    await desk.journal.take_slot("MpEmbr", "create_event", SECOND, NOW + 500)
    assert await desk.journal.taken_slots("MpEmbr", NOW) == [
        (CALL, NOW, NOW + 100),
        ("create_event", NOW + 500, None),
    ]
    assert await desk.journal.taken_slots("MpEmbr", NOW + 101) == [("create_event", NOW + 500, None)]
    assert await desk.journal.taken_slots("another", 0) == []


async def test_a_clock_that_stepped_back_does_not_fill_the_window(journal: Journal) -> None:
    later = NOW + 3_600_000
    for moment in (later, later + 1):
        slot, _ = await journal.take_slot("A", CALL, SECOND, moment)
        assert slot is not None
        await journal.release_slot(slot, moment)
    # An hour back: the two still count, from now on and for one window only.
    assert await journal.take_slot("A", CALL, SECOND, NOW) == (None, 1_000)
    assert (await journal.take_slot("A", CALL, SECOND, NOW + 1_000))[0] is not None


@pytest.mark.parametrize("takers", [30])
async def test_takers_at_once_never_overfill_a_window(opener: Opener, tmp_path: Path, takers: int) -> None:
    journals = [await opener(tmp_path), await opener(tmp_path)]
    windows = [(7, 1_000), (9, 60_000)]
    taken = await asyncio.gather(*(journals[n % 2].take_slot("A", CALL, windows, NOW) for n in range(takers)))
    assert sum(slot is not None for slot, _ in taken) == 7
    for journal in journals:
        await journal.close()


steps = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 900), st.booleans()), min_size=1, max_size=25)


@examples(25)
@given(steps, st.integers(1, 4), st.integers(1, 6))
def test_no_window_ever_holds_more_than_its_limit(
    taken: list[tuple[int, int, bool]], burst: int, steady: int
) -> None:
    """Whatever the pace: at no moment do more places count than the limit, and waiting as told gives room."""
    windows = [(burst, 1_000), (steady, 5_000)]

    async def check(directory: Path) -> None:
        journal = await open_journal(directory / "journal.db")
        try:
            now, occupied = NOW, list[tuple[int, int]]()
            for pause, lasts, patient in taken:
                now += pause
                slot, wait = await journal.take_slot(CONNECTION, CALL, windows, now)
                if slot is None and patient:
                    now += wait
                    slot, wait = await journal.take_slot(CONNECTION, CALL, windows, now)
                    assert slot is not None
                if slot is not None:
                    assert wait == 0
                    # Answered at once or after a while: the clock runs on.
                    end = now + lasts
                    await journal.release_slot(slot, end)
                    occupied.append((now, end))
                    now = end
                    for limit, length in windows:
                        counting = [each for each in occupied if each[1] + length > occupied[-1][0]]
                        assert len(counting) <= limit
        finally:
            await journal.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory)))


@pytest.mark.parametrize("set_by", [3_600_000, -3_600_000], ids=["forward", "back"])
async def test_a_clock_that_is_set_forgets_no_slot_and_keeps_none_longer(
    journal: Journal, set_by: int
) -> None:
    minute, now = [(1, 60_000)], NOW + set_by
    answered, _ = await journal.take_slot("A", CALL, minute, NOW)
    assert answered is not None
    await journal.release_slot(answered, NOW)
    open_slot, _ = await journal.take_slot("B", CALL, minute, NOW)
    await journal.realign_slots(now)
    for account, longest in (("A", 60_000), ("B", 120_000)):
        none, wait = await journal.take_slot(account, CALL, minute, now)
        assert none is None
        assert longest - 30_000 < wait <= longest  # the test itself takes less than half a minute
    [(_, taken, end)] = await journal.taken_slots("A", now - 60_000)
    assert taken == end
    before = await journal.taken_slots("B", 0)
    await journal.realign_slots(now)
    assert await journal.taken_slots("B", 0) == before
    assert open_slot is not None
