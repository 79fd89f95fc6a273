"""Requests: durable before they are sent, settled in one commit, in doubt until every operation has its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from askel_tui.core.operations import Identity
from askel_tui.store.journal.errors import StaleOperations
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.rows import DelayedOperation, SettledOperation, WorkflowCounts
from tests.unit.journal.samples import CONNECTION, NOW, WORKFLOW, Desk, Opener, hold, intent


async def test_an_open_request_keeps_its_operations_from_waiting(desk: Desk) -> None:
    planned = await desk.planned(1)
    request = await desk.journal.open_request(intent(planned[:2], b"{}"), NOW)
    assert await desk.waiting() == planned[2:]
    (open_request,) = await desk.journal.requests_in_doubt([CONNECTION])
    assert (open_request.id, open_request.opened, list(open_request.operations)) == (
        request,
        NOW,
        planned[:2],
    )
    assert open_request.intent == intent(planned[:2], b"{}")
    assert await desk.journal.requests_in_doubt(["another"]) == []


async def test_operations_in_doubt_keep_the_order_of_the_request(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path)
    planned = await Desk(journal).planned(2)
    mixed = [planned[3], planned[0], planned[5]]
    await journal.open_request(intent(mixed), NOW)
    await journal.close()
    again = await opener(tmp_path)
    (open_request,) = await again.requests_in_doubt([CONNECTION])
    await again.close()
    assert list(open_request.operations) == mixed


async def test_a_job_that_is_known_is_known_after_a_start(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path)
    planned = await Desk(journal).planned(2)
    known = await journal.open_request(intent(planned[:2]), NOW)
    unknown = await journal.open_request(intent(planned[2:3]), NOW)
    await journal.save_job_id(known, "job-1")
    await journal.close()
    again = await opener(tmp_path)
    open_requests = await again.requests_in_doubt([CONNECTION])
    await again.close()
    assert [(each.id, each.job) for each in open_requests] == [
        (known, "job-1"),
        (unknown, None),
    ]


async def test_settling_takes_operations_out_and_counts_them(desk: Desk) -> None:
    planned = await desk.planned(2)
    await desk.send(planned[:1])
    await desk.send(planned[1:2], "unconfirmed")
    await desk.send(planned[2:3], "skipped", "known already")
    await desk.send(planned[3:4], "discarded")
    assert await desk.waiting() == planned[4:]
    assert await desk.journal.requests_in_doubt([CONNECTION]) == []
    assert await desk.counts() == WorkflowCounts(waiting=2, sent=2)


async def test_a_settled_operation_has_an_audit_entry(desk: Desk) -> None:
    planned = await desk.planned(1)
    request = await desk.send(planned[:2])
    first, second = await desk.entries()
    assert first.operation == planned[0].operation.id
    assert first.profile == {"email": "evt-000000@mapleandember.example"}
    assert first.request is not None
    assert first.request == {
        "id": request,
        "method": "POST",
        "path": "/api/profile-import",
        "sha256": first.request["sha256"],
        "body": {"data": {"type": "profile"}},
    }
    assert first.response == {"status": 200, "body": {"data": {"id": "P1"}}}
    assert (first.status, first.attempts, first.ms) == ("written", 1, 80)
    assert (first.revision, first.key, first.actor) == (
        "2026-07-15",
        "sha256:0123456789ab",
        "rewards-service",
    )
    assert (first.connection, first.workflow, first.step, first.record) == (
        CONNECTION,
        WORKFLOW,
        "tier",
        "evt-000000",
    )
    assert second.request == first.request


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", None),
        (b"<html>no</html>", "<html>no</html>"),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": 1e999}', '{"a": 1e999}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
        (b'{"a": "\\ud800", "b": 1.50}', {"a": "\ud800", "b": 1.5}),
    ],
)
async def test_any_response_is_audited_and_chained(desk: Desk, body: bytes, shown: object) -> None:
    (planned,) = await desk.planned(1, ["tier"])
    request = await desk.journal.open_request(intent([planned], body), NOW)
    settled = SettledOperation(planned, "written", 200, body)
    await desk.journal.answer_request(request, settled=[settled], now=NOW)
    (entry,) = await desk.entries()
    assert entry.response == {"status": 200, "body": shown}
    assert entry.request is not None
    assert entry.request["body"] == shown
    assert (await desk.journal.verify_audit())[:2] == (1, None)


async def test_delayed_operations_wait_for_their_time(desk: Desk) -> None:
    (planned,) = await desk.planned(1, ["tier"])
    for attempt in (1, 2):
        request = await desk.journal.open_request(intent([planned]), NOW)
        delayed = DelayedOperation(planned, NOW + 1_000 * attempt, "503 Service Unavailable")
        await desk.journal.answer_request(request, delayed=[delayed], now=NOW + attempt)
        (again,) = await desk.waiting()
        assert (again.attempts, again.due, again.retrying_since) == (attempt, NOW + 1_000 * attempt, NOW + 1)
        assert again.reason == "503 Service Unavailable"
    assert await desk.entries() == []
    assert await desk.counts() == WorkflowCounts(waiting=1)
    await desk.send([planned])
    (entry,) = await desk.entries()
    assert entry.attempts == 3


async def test_a_request_answered_in_parts_stays_in_doubt_until_the_last(desk: Desk) -> None:
    planned = await desk.planned(3, ["tier"])
    request = await desk.journal.open_request(intent(planned), NOW)
    for done, left in ((0, [1, 2]), (1, [2]), (2, [])):
        await desk.journal.answer_request(
            request, settled=[SettledOperation(planned[done], "written", 200)], now=NOW
        )
        open_requests = await desk.journal.requests_in_doubt([CONNECTION])
        assert [list(each.operations) for each in open_requests] == (
            [[planned[i] for i in left]] if left else []
        )


async def test_a_request_without_operations_is_closed_by_its_answer(desk: Desk) -> None:
    request = await desk.journal.open_request(intent([]), NOW)
    (open_request,) = await desk.journal.requests_in_doubt([CONNECTION])
    assert list(open_request.operations) == []
    await desk.journal.answer_request(request, now=NOW)
    assert await desk.journal.requests_in_doubt([CONNECTION]) == []


async def test_settling_twice_is_settling_once(desk: Desk) -> None:
    planned = await desk.planned(1, ["tier"])
    request = await desk.send(planned)
    await desk.journal.answer_request(
        request, settled=[SettledOperation(planned[0], "written", 200)], now=NOW
    )
    await desk.journal.answer_request(None, settled=[SettledOperation(planned[0], "failed", 400)], now=NOW)
    assert len(await desk.entries()) == 1
    assert await desk.counts() == WorkflowCounts(sent=1)


async def test_an_unknown_request_cannot_be_answered(desk: Desk) -> None:
    planned = await desk.planned(1, ["tier"])
    with pytest.raises(LookupError):
        await desk.journal.answer_request(77, settled=[SettledOperation(planned[0], "written", 200)], now=NOW)
    assert await desk.waiting() == planned
    assert await desk.entries() == []


async def test_no_request_is_opened_for_what_no_longer_waits(desk: Desk) -> None:
    planned = await desk.planned(3, ["tier", "points"])
    await desk.send(planned[:1])
    await desk.send(planned[2:3], "failed")
    await desk.journal.add_hold(hold("points"), NOW)
    gone, held, failed, waits = planned[0], planned[1], planned[2], planned[4]
    with pytest.raises(StaleOperations) as refused:
        await desk.journal.open_request(intent([gone, held, failed, waits]), NOW)
    assert refused.value.seqs == (gone.seq, held.seq, failed.seq)
    assert waits in await desk.waiting()
    assert await desk.journal.requests_in_doubt([CONNECTION]) == []
    assert len(await desk.journal.taken_slots("MpEmbr", 0)) == 2


async def test_a_gate_that_says_no_skips_the_rest_of_its_record(desk: Desk) -> None:
    planned = await desk.planned(2, ["tier", "vip", "points", "list"], gates=["vip"])
    await desk.send(planned[:1])
    await desk.decide_gate(planned[1], "skipped", "is a member of VIP")
    assert await desk.waiting() == planned[4:]
    message = [(entry.step, entry.status, entry.response) for entry in await desk.entries(status="skipped")]
    detail = {"detail": "gate vip: is a member of VIP"}
    assert message == [
        ("vip", "skipped", {"detail": "is a member of VIP"}),
        ("points", "skipped", detail),
        ("list", "skipped", detail),
    ]
    assert await desk.counts() == WorkflowCounts(waiting=4, sent=1)


async def test_a_gate_that_passes_is_audited_and_not_counted_as_sent(desk: Desk) -> None:
    planned = await desk.planned(1, ["vip", "points"], gates=["vip"])
    await desk.decide_gate(planned[0], "passed")
    (entry,) = await desk.entries()
    assert (entry.kind, entry.status, entry.response) == ("require_segment", "passed", None)
    assert entry.target == {"type": "segment", "id": "Seg1", "name": "VIP"}
    assert (entry.request, entry.attempts) == (None, 0)
    assert await desk.counts() == WorkflowCounts(waiting=1)


async def test_profile_ids_are_remembered_replaced_and_forgotten(journal: Journal) -> None:
    ada = Identity(email="Ada@x.example", external_id="S-1")
    await journal.answer_request(None, profiles={"P1": ada}, connection=CONNECTION, now=NOW)
    keys = [*ada.keys(), "email:other@x.example"]
    assert await journal.profile_ids(CONNECTION, keys) == {
        "email:ada@x.example": "P1",
        "external_id:S-1": "P1",
    }
    assert await journal.profile_ids("another", keys) == {}
    # The profile moved to another address; the address now belongs to another profile.
    moved = {
        "P1": Identity(email="other@x.example", external_id="S-1"),
        "P2": Identity(email="ada@x.example"),
    }
    await journal.answer_request(None, profiles=moved, connection=CONNECTION, now=NOW)
    expected = {"email:ada@x.example": "P2", "external_id:S-1": "P1", "email:other@x.example": "P1"}
    assert await journal.profile_ids(CONNECTION, keys) == expected
    await journal.forget_profile_id(CONNECTION, "P1")
    assert await journal.profile_ids(CONNECTION, keys) == {"email:ada@x.example": "P2"}
