"""Background work in Textual's workers, which must neither end the app nor hold it up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.dom import DOMNode
from textual.worker import Worker


def run_in_background(
    node: DOMNode, work: Callable[[], Awaitable[Any]], group: str = "default", *, exclusive: bool = False
) -> Worker[Any]:
    """Starts work that belongs to a node; `exclusive` cancels what runs in its group. Raises nothing into the app."""

    # The function is handed over, not a coroutine: one that is cancelled before it begins was then never made.
    async def run() -> None:
        await work()

    untyped: Any = run
    worker: Worker[Any] = node.run_worker(untyped, group=group, exclusive=exclusive, exit_on_error=False)
    return worker
