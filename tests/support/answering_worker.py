"""What tests have answered in a process of its own: `WorkerProcess.start("tests.support.answering_worker", …)`."""

from __future__ import annotations

import os
import signal
from typing import Any

from askel_tui.store.errors import StoreError
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.worker_process.child import WorkerChannel, run_worker


class Odd(Exception):
    """An error that can be pickled and not be made again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def serve(channel: WorkerChannel, word: str) -> None:
    """Answers until the other side ends."""
    while (question := channel.next_question()) is not None:
        try:
            channel.answer([(None, _answer(word, *question))])
        except Exception as error:
            channel.answer([(error, None)])


def _answer(word: str, question: Any) -> Any:
    match question:
        case "word":
            return word
        case "environment":
            return dict(os.environ)
        case "pid":
            return os.getpid()
        case "stale":
            raise StaleOperations([3, 5])
        case "odd":
            raise Odd("a thing", "no reason")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return question


if __name__ == "__main__":
    run_worker(serve, StoreError)
