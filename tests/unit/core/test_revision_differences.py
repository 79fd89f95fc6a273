"""What differs between revisions, and what one can't say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.contract.revisions import REVISIONS
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.core.requests.packing import build_request
from askel_tui.core.requests.revision_differences import (
    contract_differences,
    request_differences,
    touched_calls,
    unsayable,
)

OLD, NEW = REVISIONS[0], REVISIONS[-1]
WHO = Identity(email="ada@mapleandember.example", phone_number="+447700900123")
LIST = Target("list", "AbCdEf", "Newsletter")
EVENT = {"metric": "Points", "properties": {}, "time": "2026-01-01T00:00:00Z", "unique_id": "u"}


def operation(call: Call, kind: Any, body: dict[str, Any], target: Target | None = None) -> Operation:
    return Operation("id", "step", kind, call, WHO, target, body=body)


CONSENT = operation(Call.BULK_SUBSCRIBE_PROFILES, "subscribe", {"channels": ["email"]}, LIST)
TRACKED = operation(Call.CREATE_EVENT, "track_event", EVENT)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (replace(CONSENT, body={"channels": ["whatsapp"]}), "whatsapp"),
        (replace(CONSENT, body={"channels": ["push"]}), "push"),
        (replace(TRACKED, body=EVENT | {"backfill": True}), "firing flows"),
        (
            replace(TRACKED, body=EVENT | {"properties": dict.fromkeys(map(str, range(301)), 1)}),
            "300 properties",
        ),
        (replace(TRACKED, body=EVENT | {"time": "1995-01-01T00:00:00Z"}), "before 2001"),
    ],
)
def test_the_oldest_tells_why_it_cannot_say_what_the_newest_can(one: Operation, why: str) -> None:
    assert unsayable(one, NEW) is None
    assert why in (unsayable(one, OLD) or "")


@given(
    st.sampled_from(REVISIONS),
    st.lists(st.sampled_from(("email", "sms", "whatsapp", "push")), min_size=1, unique=True),
)
def test_what_can_be_said_is_built(revision: str, channels: list[str]) -> None:
    one = replace(CONSENT, body={"channels": channels})
    if unsayable(one, revision) is None:
        assert build_request([one], revision, {}).body
        assert request_differences(one, revision, revision) == []
    else:
        with pytest.raises(ValueError, match=r".+"):
            build_request([one], revision, {})


def test_a_revision_does_not_differ_from_itself() -> None:
    calls = touched_calls([CONSENT, TRACKED])
    for revision in REVISIONS:
        assert contract_differences(calls, revision, revision) == []
    there = contract_differences(calls, OLD, NEW)
    back = contract_differences(calls, NEW, OLD)
    assert {each.call for each in there} == {each.call for each in back}
    assert any(each.words.startswith("no longer: ") for each in back)
