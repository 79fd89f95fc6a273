"""The account as a dry run would leave it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation, Target
from askel_tui.core.planning.diff import ProfileState
from askel_tui.core.planning.disposition import CONFIRMATION_NOTE, DOUBLE_OPT_IN
from askel_tui.core.planning.simulated_account import AccountFacts, SimulatedAccount
from tests.support.workflows import NOW

LIST = Target("list", "L", "Newsletter")


def upsert(**identifiers: str) -> Operation:
    body = {"attributes": {}, "properties": {"Tier": "Gold"}, "unset": []}
    return Operation(
        "1", "s", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, Identity(**identifiers), body=body
    )


def consent(**identifiers: str) -> Operation:
    body = {"channels": ["email"]}
    return Operation(
        "2", "s", "subscribe", Call.BULK_SUBSCRIBE_PROFILES, Identity(**identifiers), LIST, body=body
    )


def event(**identifiers: str) -> Operation:
    body = {"metric": "Used", "properties": {}, "unique_id": "u", "time": "2026-11-23T09:14:05Z"}
    return Operation("3", "s", "track_event", Call.CREATE_EVENT, Identity(**identifiers), body=body)


def test_a_later_operation_meets_what_an_earlier_one_left() -> None:
    account = SimulatedAccount(now=NOW)
    assert account.apply(upsert(email="a@x.example")).creates_profile
    effect = account.apply(upsert(email="A@x.example", phone_number="+441"))
    assert not effect.creates_profile
    assert effect.changes == {"phone_number": {"before": None, "after": "+441"}}
    assert account.find(Identity(phone_number="+441")) is effect.profile


def test_an_address_that_moved_has_no_holder() -> None:
    account = SimulatedAccount(now=NOW)
    account.add_profile(
        ProfileState("01A", {"email": "old@x.example", "external_id": "S-1", "phone_number": None})
    )
    account.apply(upsert(email="new@x.example", external_id="S-1"))
    assert account.find(Identity(email="old@x.example")) is None
    assert account.apply(upsert(email="old@x.example")).creates_profile


def test_identifiers_of_two_profiles_refuse_an_upsert_and_change_nothing() -> None:
    account = SimulatedAccount(now=NOW)
    one, two = ProfileState("01A", {"email": "a@x.example"}), ProfileState("01B", {"phone_number": "+441"})
    account.add_profile(one)
    account.add_profile(two)
    effect = account.apply(upsert(email="a@x.example", phone_number="+441"))
    assert effect.conflicting_profiles == (one, two)
    assert effect.changes == {}
    assert one.properties == {} == two.properties


def test_a_connection_that_writes_to_the_strongest_takes_nothing_from_the_other() -> None:
    account = SimulatedAccount(now=NOW, on_conflict="strongest")
    account.add_profile(ProfileState("01A", {"email": "a@x.example"}))
    account.add_profile(ProfileState("01B", {"phone_number": "+441"}))
    effect = account.apply(upsert(email="a@x.example", phone_number="+441"))
    assert not effect.conflicting_profiles
    assert effect.profile.id == "01A"
    assert effect.changes == {"properties.Tier": {"before": None, "after": "Gold"}}
    assert effect.profile.attributes == {"email": "a@x.example"}


def test_consent_goes_by_the_channels_own_identifier() -> None:
    account = SimulatedAccount(now=NOW)
    account.add_profile(ProfileState("01A", {"phone_number": "+441"}))
    effect = account.apply(consent(email="a@x.example", phone_number="+441"))
    assert effect.creates_profile
    assert effect.profile.attributes == {"email": "a@x.example"}


def test_a_subscription_that_waits_for_a_gate_still_has_to_be_confirmed() -> None:
    account = SimulatedAccount(AccountFacts(opt_in={"L": DOUBLE_OPT_IN}), now=NOW)
    effect = account.apply(consent(email="a@x.example"), depends="gate g")
    assert (effect.disposition.kind, effect.changes, effect.notes) == ("depends", {}, (CONFIRMATION_NOTE,))


def test_an_event_never_moves_an_identifier() -> None:
    account = SimulatedAccount(now=NOW)
    account.add_profile(ProfileState("01A", {"email": "a@x.example"}))
    account.add_profile(ProfileState("01B", {"phone_number": "+441"}))
    account.apply(event(email="a@x.example", phone_number="+441"))
    found = account.find(Identity(phone_number="+441"))
    assert found is not None
    assert found.id == "01B"


identities = st.builds(
    Identity,
    email=st.sampled_from(["a@x.example", "b@x.example", "B@x.example"]),
    phone_number=st.sampled_from([None, "+441", "+442"]),
    external_id=st.sampled_from([None, "S-1", "S-2"]),
)


@given(st.lists(identities, max_size=12))
def test_a_repeated_upsert_changes_nothing_more(given: list[Identity]) -> None:
    account = SimulatedAccount(now=NOW)
    for identity in given:
        first = account.apply(upsert(**identity.identifiers()))
        again = account.apply(upsert(**identity.identifiers()))
        assert again.changes == {}
        assert not again.creates_profile
        assert bool(first.conflicting_profiles) == bool(again.conflicting_profiles)
        assert account.find(identity) is not None
