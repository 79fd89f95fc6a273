"""Cutting a refused request: the rows that the refusal names go by themselves, the others without them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from askel_tui.core.requests.bulk import row_index_of
from askel_tui.klaviyo.errors import InvalidRequest, KlaviyoError, NotInAccount
from askel_tui.store.journal.rows import StoredOperation


def rejected_rows(error: KlaviyoError) -> set[int]:
    """The rows that an error's pointers name (`/data/3/id`, `/data/attributes/profiles/data/2/attributes/…`)."""
    if not isinstance(error, InvalidRequest | NotInAccount):
        return set()
    found = (row_index_of(item.pointer) for item in error.errors)
    return {index for index in found if index is not None}


def split_rejected(
    operations: Sequence[StoredOperation], named: Collection[int]
) -> Iterator[list[StoredOperation]]:
    """The rows at fault one by one and the rest together; halves where no row of these was named."""
    bad = [stored for index, stored in enumerate(operations) if index in named]
    if bad:
        yield from ([stored] for stored in bad)
        rest = [stored for index, stored in enumerate(operations) if index not in named]
        if rest:
            yield rest
        return
    half = len(operations) // 2
    yield list(operations[:half])
    yield list(operations[half:])
