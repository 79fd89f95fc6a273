"""A worker process answers in order, whatever the size; its errors and its end arrive here; nothing leaks into it."""

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
from askel_tui.worker_process.errors import WorkerError
from askel_tui.worker_process.parent import WorkerProcess


class Gone(StoreError):
    """The other process ended."""


@asynccontextmanager
async def _worker(word: str = "-") -> AsyncIterator[WorkerProcess]:
    worker = await WorkerProcess.start("tests.support.answering_worker", word, Gone)
    try:
        yield worker
    finally:
        await worker.close()


async def test_answers_come_in_the_order_of_the_questions_whatever_their_size() -> None:
    questions = [b"x" * size for size in (0, 3_000_000, 1, 20_000_000, 70_000, 2)]
    async with _worker() as worker:
        assert await asyncio.gather(*map(worker.ask, questions)) == questions


async def test_what_was_asked_before_the_end_is_answered() -> None:
    async with _worker("a word") as worker:
        asked = [asyncio.ensure_future(worker.ask("word")) for _ in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == ["a word"] * 50
    with pytest.raises(Gone):
        await worker.ask("word")


async def test_an_error_is_raised_here_as_it_was_there() -> None:
    async with _worker() as worker:
        with pytest.raises(StaleOperations) as caught:
            await worker.ask("stale")
        assert caught.value.seqs == (3, 5)
        with pytest.raises(WorkerError, match="a thing: no reason"):
            await worker.ask("odd")
        assert await worker.ask("word") == "-"


async def test_its_death_fails_every_unanswered_question() -> None:
    async with _worker() as worker:
        outcomes = await asyncio.gather(*map(worker.ask, ("word", "die", "word")), return_exceptions=True)
        assert outcomes[0] == "-"
        assert [type(each) for each in outcomes[1:]] == [Gone, Gone]
        with pytest.raises(Gone):
            await worker.ask("word")


async def test_a_cancelled_question_does_not_shift_the_answers() -> None:
    async with _worker() as worker:
        first, second = (asyncio.ensure_future(worker.ask(question)) for question in ("one", "two"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "two"


async def test_signals_do_not_end_it_and_closing_waits_for_its_end() -> None:
    async with _worker() as worker:
        pid = await worker.ask("pid")
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, each)
        assert await worker.ask("word") == "-"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_inherits_none_of_the_programs_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKEL_VAULT_KEY", "correct horse")
    async with _worker() as worker:
        assert "correct horse" not in (await worker.ask("environment")).values()


async def test_the_current_directory_has_no_say_in_what_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('this is not the one')")
    monkeypatch.chdir(tmp_path)
    async with _worker("a word") as worker:
        assert await worker.ask("word") == "a word"
