"""Another process that answers: in order, whatever the size; its errors and its end are told, and nothing leaks in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from askel_tui.store.errors import StoreError
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.worker_process.framing import FrameDecoder, WorkerError, encode_frame
from askel_tui.worker_process.parent import WorkerProcess


class Gone(StoreError):
    """The other process ended."""


@asynccontextmanager
async def _apart(word: str = "-") -> AsyncIterator[WorkerProcess]:
    apart = await WorkerProcess.start("tests.support.answering", word, Gone)
    try:
        yield apart
    finally:
        await apart.close()


async def test_answers_come_in_the_order_of_the_questions_whatever_their_size() -> None:
    questions = [b"x" * size for size in (0, 3_000_000, 1, 20_000_000, 70_000, 2)]
    async with _apart() as apart:
        assert await asyncio.gather(*map(apart.ask, questions)) == questions


async def test_what_was_asked_before_the_end_is_answered() -> None:
    async with _apart("a word") as apart:
        asked = [asyncio.ensure_future(apart.ask("word")) for _ in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == ["a word"] * 50
    with pytest.raises(Gone):
        await apart.ask("word")


async def test_an_error_is_raised_here_as_it_was_there() -> None:
    async with _apart() as apart:
        with pytest.raises(StaleOperations) as caught:
            await apart.ask("stale")
        assert caught.value.seqs == (3, 5)
        with pytest.raises(WorkerError, match="a thing: no reason"):
            await apart.ask("odd")
        assert await apart.ask("word") == "-"


async def test_one_that_dies_is_told_to_all_who_wait() -> None:
    async with _apart() as apart:
        told = await asyncio.gather(*map(apart.ask, ("word", "die", "word")), return_exceptions=True)
        assert told[0] == "-"
        assert [type(each) for each in told[1:]] == [Gone, Gone]
        with pytest.raises(Gone):
            await apart.ask("word")


async def test_who_gave_up_waiting_does_not_shift_the_answers() -> None:
    async with _apart() as apart:
        first, second = (asyncio.ensure_future(apart.ask(question)) for question in ("one", "two"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "two"


async def test_signals_do_not_end_it_and_its_end_is_waited_for() -> None:
    async with _apart() as apart:
        pid = await apart.ask("pid")
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, each)
        assert await apart.ask("word") == "-"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_knows_nothing_of_what_this_one_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKEL_VAULT_KEY", "correct horse")
    async with _apart() as apart:
        assert "correct horse" not in (await apart.ask("environment")).values()


async def test_where_one_happens_to_be_has_no_say_in_what_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('this is not the one')")
    monkeypatch.chdir(tmp_path)
    async with _apart("a word") as apart:
        assert await apart.ask("word") == "a word"


def test_frames_are_whole_wherever_they_were_cut() -> None:
    values = [None, b"x" * 300, {"a": [1, 2]}, "", list(range(100))]
    data = b"".join(map(encode_frame, values))
    for size in (1, 2, 7, 8, 9, 64, len(data)):
        frames, found = FrameDecoder(), []
        for start in range(0, len(data), size):
            frames.feed(data[start : start + size])
            while (frame := frames.next()) is not None:
                found.append(frame[0])
        assert found == values
