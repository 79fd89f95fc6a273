"""Bodies of consent are valid where they are sent, and name every channel with its identifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.dialects import CHANNEL_IDENTIFIER, Inexpressible, dialect
from askel_tui.contract.endpoints import SELECTABLE
from tests.support.openapi import validate_request
from tests.support.strategies import emails, names, phones, revisions, times

if TYPE_CHECKING:
    from collections.abc import Callable

channels = st.lists(st.sampled_from(["email", "sms", "whatsapp", "push"]), unique=True, min_size=1)


@given(st.data(), revisions, channels, st.none() | names, st.none() | names, st.booleans())
def test_subscriptions_are_valid(
    data: st.DataObject,
    revision: str,
    wanted: list[str],
    list_id: str | None,
    source: str | None,
    historical: bool,
) -> None:
    words = dialect(revision)
    wanted = [channel for channel in wanted if channel in words.subscribe_channels] or ["email"]
    historical = historical and words.has_historical_consent
    who = {"email": data.draw(emails), "phone_number": data.draw(phones), "external_id": data.draw(names)}
    dated = {channel: data.draw(times) for channel in wanted} if historical else {}
    item = words.subscribe_item(who, wanted, dated)
    body = words.subscribe([item], list_id, source, historical)
    validate_request(revision, "bulk_subscribe_profiles", None, body)
    sent = body["data"]["attributes"]["profiles"]["data"][0]["attributes"]
    assert set(sent["subscriptions"]) == set(wanted)
    assert "external_id" not in sent
    assert body["data"]["attributes"].get("custom_source") == source


@given(st.data(), revisions, channels, st.none() | names)
def test_unsubscriptions_are_valid_and_always_name_their_channels(
    data: st.DataObject, revision: str, wanted: list[str], list_id: str | None
) -> None:
    words = dialect(revision)
    wanted = [channel for channel in wanted if channel in words.unsubscribe_channels] or ["email"]
    who = {"email": data.draw(emails), "phone_number": data.draw(phones)}
    body = words.unsubscribe([words.unsubscribe_item(who, wanted)], list_id)
    validate_request(revision, "bulk_unsubscribe_profiles", None, body)
    sent = body["data"]["attributes"]["profiles"]["data"][0]["attributes"]["subscriptions"]
    assert sent == {channel: {"marketing": {"consent": "UNSUBSCRIBED"}} for channel in wanted}


@pytest.mark.parametrize("revision", SELECTABLE)
@pytest.mark.parametrize("kind", ["subscribe_item", "unsubscribe_item"])
def test_consent_needs_the_identifier_of_its_channel_in_the_same_profile(revision: str, kind: str) -> None:
    build: Callable[..., dict[str, Any]] = getattr(dialect(revision), kind)
    known = {"email": "wren@maple.example", "phone_number": "+15035550142", "external_id": "1"}
    for channel in dialect(revision).unsubscribe_channels:
        needed = CHANNEL_IDENTIFIER[channel]
        without = {name: value for name, value in known.items() if name != needed}
        with pytest.raises(Inexpressible, match=f"Consent for {channel} needs the profile's {needed}"):
            build(without, [channel])
        assert build({needed: known[needed]}, [channel])["attributes"][needed] == known[needed]
