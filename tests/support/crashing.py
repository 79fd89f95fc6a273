"""`askel` that dies by kill -9 at a named point: `python -m tests.support.crashing POINT CALL NOTE askel-words…`

A point is `before` or `after` one of `open` (a request is written down), `answer` (its answer is settled), `plan`,
`accept`, or `begin`, `apply` and `end` of re-planning, or `after send` (Klaviyo has answered, nothing was done with the
answer yet). CALL is the Klaviyo call whose first write is meant (`-` for the others). What the request said is left in
the file NOTE.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from askel_tui.cli.main import cli
from askel_tui.klaviyo.client import Client, Response
from askel_tui.store.journal.rows import RequestIntent
from askel_tui.store.sqlite.journal import SqliteJournal

POINTS = ("before open", "after open", "after send", "before answer", "after answer")
"""The points in the life of a request, in order."""


class Crash:
    """Kills this process where it is told to."""

    def __init__(self, point: str, call: str, note: Path) -> None:
        self._point = point
        self._call = call
        self._note = note
        self._requests: dict[int, RequestIntent] = {}

    def install(self) -> None:
        """Takes its places."""
        self._wrap("plan", "commit_runs")
        self._wrap("accept", "accept_records")
        self._wrap("begin", "begin_replan")
        self._wrap("apply", "apply_replans")
        self._wrap("end", "end_replan")
        self._wrap_open(SqliteJournal.open_request)
        self._wrap_answer(SqliteJournal.answer_request)
        self._wrap_call(Client.call)

    def _at(self, point: str, call: str, body: bytes = b"") -> None:
        if (point, call) == (self._point, self._call):
            self._note.write_bytes(body)
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrap(self, name: str, attribute: str) -> None:
        method: Callable[..., Awaitable[Any]] = getattr(SqliteJournal, attribute)

        async def wrapped(journal: SqliteJournal, *given: Any, **more: Any) -> Any:
            self._at(f"before {name}", "-")
            result = await method(journal, *given, **more)
            self._at(f"after {name}", "-")
            return result

        setattr(SqliteJournal, attribute, wrapped)

    def _wrap_open(self, method: Callable[..., Awaitable[int]]) -> None:
        async def wrapped(journal: SqliteJournal, intent: RequestIntent, now: int) -> int:
            self._at("before open", intent.call, intent.body)
            request = await method(journal, intent, now)
            self._requests[request] = intent
            self._at("after open", intent.call, intent.body)
            return request

        setattr(SqliteJournal, "open_request", wrapped)  # noqa: B010 - mypy forbids assigning a method

    def _wrap_answer(self, method: Callable[..., Awaitable[None]]) -> None:
        async def wrapped(journal: SqliteJournal, request: int | None, **given: Any) -> None:
            intent = None if request is None else self._requests.get(request)
            if intent is not None:
                self._at("before answer", intent.call, intent.body)
            await method(journal, request, **given)
            if intent is not None:
                self._at("after answer", intent.call, intent.body)

        setattr(SqliteJournal, "answer_request", wrapped)  # noqa: B010 - mypy forbids assigning a method

    def _wrap_call(self, method: Callable[..., Awaitable[Response]]) -> None:
        async def wrapped(client: Client, name: str, **given: Any) -> Response:
            answer = await method(client, name, **given)
            if isinstance(given.get("body"), bytes):
                self._at("after send", name, given["body"])
            return answer

        setattr(Client, "call", wrapped)  # noqa: B010 - mypy forbids assigning a method


if __name__ == "__main__":
    Crash(sys.argv[1], sys.argv[2], Path(sys.argv[3])).install()
    cli.main(args=sys.argv[4:], prog_name="askel")
