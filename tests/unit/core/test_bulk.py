"""Bulk requests keep to all caps of their call on the encoded bytes, in order, and lose no row."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import SELECTABLE, endpoint
from askel_tui.core.canonical import canonical_json
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests import bulk
from askel_tui.core.requests.bulk import BULK_CALL_OF, Row
from tests.support.examples import examples
from tests.support.openapi import validate_call

CALLS = [
    (call, revision)
    for call in BULK_CALL_OF.values()
    for revision in SELECTABLE
    if bulk.revision_has_call(call, revision)
]


def _row(call: Call, revision: str, number: int, size: int) -> Row:
    """A row with so many bytes of payload."""
    who = Identity(email=f"p{number}@x.example")
    note = {"Note": "ü" * (size // 2)}
    if call == Call.BULK_IMPORT_PROFILES:
        body = {"attributes": {}, "properties": note, "unset": []}
        single = Operation(
            f"op{number}", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, who, None, body=body
        )
        return bulk.import_row([single], revision)
    body = {
        "metric": "Bought",
        "properties": note,
        "time": "2026-11-23T10:00:00Z",
        "unique_id": f"{number:032x}",
    }
    return bulk.event_row(
        Operation(f"op{number}", "s", "track_event", Call.CREATE_EVENT, who, None, body=body), revision
    )


@pytest.mark.parametrize(("call", "revision"), CALLS)
@pytest.mark.parametrize("list_id", [None, "MeNw5k"])
@examples(15)
@given(sizes=st.lists(st.sampled_from([0, 50, 3_000, 40_000, 99_000]), max_size=300))
@example(sizes=[50] * 10_001)
@example(sizes=[99_000] * 120)
@pytest.mark.slow
def test_every_request_keeps_to_its_caps(
    call: Call, revision: str, list_id: str | None, sizes: list[int]
) -> None:
    list_id = list_id if call == Call.BULK_IMPORT_PROFILES else None
    rows = [_row(call, revision, number, size) for number, size in enumerate(sizes)]
    made = list(bulk.pack_rows(call, rows, revision, list_id))
    assert [row for each in made for row in each.rows] == rows
    at = endpoint(revision, call)
    assert at.max_items is not None
    assert at.max_bytes is not None
    for each in made:
        assert len(each.request.body) <= at.max_bytes
        assert len(each.rows) <= at.max_items
        assert each.request.body == canonical_json(json.loads(each.request.body))
    for each, following in pairwise(made):
        # The first row of the next one did not fit any more.
        grown = len(each.request.body) + 1 + len(following.rows[0].item)
        assert len(each.rows) == at.max_items or grown > at.max_bytes
    if made:
        last = made[-1].request
        assert validate_call(revision, last.method, last.path, {}, last.body).name == call


@pytest.mark.parametrize(("call", "revision"), CALLS)
def test_a_row_of_just_the_room_is_a_request_and_one_byte_more_is_none(call: Call, revision: str) -> None:
    most = bulk.max_row_bytes(call, revision)
    bare = len(_row(call, revision, 1, 0).item)
    odd = (most - bare) % 2
    row = _row(call, revision, 10**odd, most - bare - odd)
    assert len(row.item) == most
    [made] = bulk.pack_rows(call, [row], revision)
    at = endpoint(revision, call)
    assert len(made.request.body) <= (at.max_bytes or 0)
    with pytest.raises(ValueError, match="over the cap"):
        list(bulk.pack_rows(call, [Row(row.operations, row.item + b" ")], revision))
