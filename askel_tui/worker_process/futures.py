"""Resolving of futures from another thread's or process's result."""

from __future__ import annotations

from asyncio import Future
from typing import Any


def resolve(future: Future[Any], error: Exception | None, result: Any = None) -> None:
    """Gives a future its error or its result; nothing happens where it was cancelled."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
