"""The journal's errors, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable

from askel_tui.store.errors import StoreError
from askel_tui.text.shortening import join_first


class JournalError(StoreError):
    """The journal cannot be read or written; what it acknowledged before is still there."""


class StaleOperations(StoreError, LookupError):
    """A refusal to open a request, since some of its operations no longer wait: settled, held, failed or discarded.

    Nothing was written. `seqs` are those operations; a queue in memory that holds them drops them.
    """

    def __init__(self, seqs: Iterable[int]) -> None:
        self.seqs = tuple(seqs)
        shown = join_first(list(map(str, self.seqs)))
        super().__init__(
            f"no request was opened: operations that no longer wait were to go with it ({shown}); "
            "read the waiting operations again"
        )

    def __reduce__(self) -> tuple[type[StaleOperations], tuple[tuple[int, ...]]]:
        return StaleOperations, (self.seqs,)
