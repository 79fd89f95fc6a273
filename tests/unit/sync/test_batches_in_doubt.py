"""A request in doubt is settled for the identifiers that it was sent with."""

from __future__ import annotations

import pytest

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests import bulk
from askel_tui.core.requests.packing import build_request
from askel_tui.store.journal.rows import OpenRequest, RequestIntent, StoredOperation
from askel_tui.sync.sending.batches import batch_in_doubt

REVISION = "2026-07-15"
WHOLE = Identity("paul@x.example", "+442079460101", "C-2")
LEFT = Identity("paul@x.example", None, "C-2")
BODY = {"attributes": {"first_name": "Paul"}, "properties": {}, "unset": []}


def upsert(identity: Identity) -> Operation:
    return Operation("o" * 32, "p", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, identity, body=BODY)


def in_doubt(call: Call, body: bytes) -> OpenRequest:
    intent = RequestIntent("c", "A", call, "POST", "/api/x", body, REVISION, "key", [1])
    return OpenRequest(1, intent, 0, [StoredOperation(1, "c", "w", 1, 1, "r", 0, upsert(WHOLE))])


@pytest.mark.parametrize("sent", [WHOLE, LEFT])
def test_a_single_write_without_the_phone_is_settled_without_it(sent: Identity) -> None:
    body = build_request([upsert(sent)], REVISION, {}).body
    [stored] = batch_in_doubt(in_doubt(Call.CREATE_OR_UPDATE_PROFILE, body)).operations
    assert stored.operation.profile == sent
    assert stored.has_fewer_identifiers == (sent is LEFT)


@pytest.mark.parametrize("sent", [WHOLE, LEFT])
def test_a_row_without_the_phone_finds_its_operation(sent: Identity) -> None:
    row = bulk.import_row([upsert(sent)], REVISION)
    [packed] = bulk.pack_rows(Call.BULK_IMPORT_PROFILES, [row], REVISION)
    batch = batch_in_doubt(in_doubt(Call.BULK_IMPORT_PROFILES, packed.request.body))
    assert [[each.profile for each in one.operations] for one in batch.rows] == [[sent]]
    assert [each.has_fewer_identifiers for each in batch.operations] == [sent is LEFT]
