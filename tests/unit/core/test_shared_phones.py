"""Whose a phone number is: the decision, for any people and any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.planning.shared_phones import PhoneOwners, decide_phone, is_anothers
from askel_tui.core.workflows.model import ON_SHARED_PHONE

PHONE = "+442079460101"
people = st.builds(
    Identity,
    st.none() | st.sampled_from(["a@x.example", "A@x.example", "b@x.example", "c@x.example"]),
    st.just(PHONE),
    st.none() | st.sampled_from(["1", "2"]),
)


def upsert(identity: Identity) -> Operation:
    return Operation("o", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, identity)


@given(people, people)
def test_it_is_the_same_for_both(one: Identity, other: Identity) -> None:
    assert is_anothers(one, other) == is_anothers(other, one)
    assert not is_anothers(one, one)


@pytest.mark.parametrize(
    ("one", "other", "anothers"),
    [
        (("a@x.example", None), ("b@x.example", None), True),
        (("a@x.example", None), ("A@X.example", None), False),
        (("a@x.example", "1"), ("b@x.example", "1"), False),
        (("a@x.example", "1"), ("b@x.example", "2"), True),
        (("a@x.example", "1"), ("a@x.example", "2"), False),
        (("a@x.example", "1"), (None, None), False),
        (("a@x.example", "1"), (None, "2"), True),
        ((None, "1"), ("b@x.example", None), False),
    ],
)
def test_another_e_mail_and_not_the_same_external_id(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None], anothers: bool
) -> None:
    assert is_anothers(Identity(one[0], PHONE, one[1]), Identity(other[0], PHONE, other[1])) == anothers


@given(st.lists(people, max_size=8))
def test_without_going_on_nobody_s_address_is_replaced_by_another_s(written: list[Identity]) -> None:
    """Each e-mail that is sent beside the phone is its owner's, or the owner's changed one: of the same external id."""
    owners, known = PhoneOwners({}), Identity(None, PHONE)
    for identity in written:
        decision = owners.decide(upsert(identity), "leave_out")
        assert decision.operation is not None
        assert (decision.warning is None) == (decision.operation.profile == identity)
        if decision.operation.profile.phone_number and (identity.email or identity.external_id):
            assert not is_anothers(identity, known)
            known = Identity(identity.email or known.email, PHONE, identity.external_id or known.external_id)


@given(people, people, st.sampled_from(ON_SHARED_PHONE))
def test_a_policy_decides_only_where_the_phone_is_another_s(
    identity: Identity, owner: Identity, policy: str
) -> None:
    operation = upsert(identity)
    decision = decide_phone(operation, owner, policy)  # type: ignore[arg-type]
    named = identity.email is not None or identity.external_id is not None
    if not (named and is_anothers(identity, owner)):
        assert decision.operation is operation
        assert decision.warning is None
    elif policy == "fail":
        assert decision.operation is None
        assert decision.failure
    else:
        assert decision.warning
        assert decision.operation is not None
        assert (decision.operation.profile.phone_number == PHONE) == (policy == "go_on")
