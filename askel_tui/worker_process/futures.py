"""Telling whoever waits for something that is done elsewhere."""

from __future__ import annotations

from asyncio import Future
from typing import Any


def resolve(future: Future[Any], error: Exception | None, result: Any = None) -> None:
    """Gives a future its error or its result; nothing happens where nobody waits any more."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
