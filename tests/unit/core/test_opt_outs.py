"""Opt-outs: nobody who opted out is subscribed again without newer proof, and what can't be told counts as no proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.caps import Caps
from askel_tui.core.operations import Operation
from askel_tui.core.opt_outs import OptOut, OptOuts, OwnOptOuts, join_opt_outs, opt_outs_of
from askel_tui.core.planning.disposition import Disposition, Known, dispose
from tests.support.workflows import NOW, applied, happened, of_steps, operations

STEP = "- id: in\n  subscribe: {channels: [email, sms, whatsapp], list: Newsletter, proof: record}\n"
[SUBSCRIBE] = operations(happened(phone="+442079460018"), applied(of_steps(STEP)))
LEFT = "2026-05-02T17:20:00.500000+00:00"
CHANNELS = ("email", "sms", "whatsapp")


def subscription(proof: str | None) -> Operation:
    return replace(SUBSCRIBE, body={**SUBSCRIBE.body, "proof": proof})


def decided(proof: str | None, opt_outs: OptOuts | None) -> Disposition:
    return dispose(subscription(proof), Known(opt_outs=opt_outs), NOW, Caps())


def everywhere(at: str | None) -> OptOuts:
    return {channel: [OptOut(channel, "UNSUBSCRIBED", at)] for channel in CHANNELS}


@pytest.mark.parametrize(
    ("proof", "at", "kind"),
    [
        ("2026-05-02T17:20:00.500001Z", LEFT, "send"),
        ("2026-05-02T17:20:00.5Z", LEFT, "skip"),
        ("2026-05-02T17:20:00.499999Z", LEFT, "skip"),
        # In other zones.
        ("2026-05-02T19:20:01+02:00", LEFT, "send"),
        ("2026-05-02T18:20:00+02:00", LEFT, "skip"),
        ("2026-05-02T13:20:01-04:00", "2026-05-02T22:50:00.5+05:30", "send"),
        # What is shown in whole seconds may be any of that second.
        ("2026-05-02T17:20:00.9Z", "2026-05-02T17:20:00Z", "skip"),
        ("2026-05-02T17:20:01Z", "2026-05-02T17:20:00", "send"),
        # What is missing or no time proves nothing.
        (None, LEFT, "skip"),
        ("2026-05-02T17:20:01Z", None, "skip"),
        ("2026-05-02T17:20:01Z", "yesterday", "skip"),
        ("2999-01-01T00:00:00Z", LEFT, "skip"),
        ("0001-01-01T00:00:00+14:00", LEFT, "skip"),
    ],
)
def test_only_newer_proof_counts(proof: str | None, at: str | None, kind: str) -> None:
    found = decided(proof, everywhere(at))
    assert found.kind == kind
    assert bool(found.refused) == (kind == "skip")
    assert all(channel in found.refused for channel in CHANNELS) or kind == "send"


TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 1)).map(lambda each: each.replace(tzinfo=UTC))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(TIMES, TIMES, ZONES, ZONES)
def test_the_instants_decide_whatever_their_zones(
    agreed: datetime, left: datetime, ours: timezone, theirs: timezone
) -> None:
    found = decided(agreed.astimezone(ours).isoformat(), everywhere(left.astimezone(theirs).isoformat()))
    if agreed <= left:
        assert found.kind == "skip"
    elif agreed - left >= timedelta(seconds=1):
        assert found.kind == "send"


ENTRIES = st.builds(
    OptOut,
    st.sampled_from(CHANNELS),
    st.sampled_from(["UNSUBSCRIBED", "USER_SUPPRESSED", "SPAM_COMPLAINT", "HARD_BOUNCE", "of a later day"]),
    st.none() | TIMES.map(datetime.isoformat) | st.just("no time"),
    st.sampled_from([None, "ListNe", "ListPr"]),
)


@given(st.lists(ENTRIES, max_size=5), st.none() | TIMES)
def test_channels_are_refused_one_by_one_and_each_says_why(
    entries: list[OptOut], proof: datetime | None
) -> None:
    shown: dict[str, list[OptOut]] = {channel: [] for channel in CHANNELS}
    for each in entries:
        shown[each.channel].append(each)
    found = decided(proof.isoformat() if proof else None, shown)
    stopped = {
        each.channel
        for each in entries
        if each.list_id in (None, "ListNe") and not _is_surely_older(each.at, proof)
    }
    left = [channel for channel in CHANNELS if channel not in stopped]
    assert found.kind == ("send" if left else "skip")
    assert all(f"{channel}: " in found.refused for channel in stopped)
    if left and stopped:
        assert found.operation is not None
        assert found.operation.body["channels"] == left
    else:
        assert found.operation is None


def _is_surely_older(at: str | None, proof: datetime | None) -> bool:
    if at in (None, "no time") or proof is None:
        return False
    left = datetime.fromisoformat(str(at))
    return proof.replace(microsecond=proof.microsecond if left.microsecond else 0) > left


def test_what_was_not_read_is_waited_for() -> None:
    assert decided("2026-05-02T17:20:01Z", None).kind == "wait"
    assert decided("2026-05-02T17:20:01Z", {"email": (), "sms": None, "whatsapp": ()}).kind == "wait"
    assert decided("2026-05-02T17:20:01Z", {}).kind == "send"


# What Klaviyo shows.


def shown(**channels: Any) -> OptOuts:
    known: dict[str, Any] = {"email": None, "sms": None, "whatsapp": None, "mobile_push": None}
    return opt_outs_of({"subscriptions": known | channels})


def marketing(consent: str, **more: Any) -> Any:
    return {"marketing": {"consent": consent, **more}}


def test_an_opt_out_is_as_old_as_its_last_change() -> None:
    found = shown(
        sms=marketing("UNSUBSCRIBED", last_updated=LEFT, consent_timestamp="2025-01-01T00:00:00Z"),
        whatsapp=marketing("UNSUBSCRIBED", consent_timestamp="2025-01-01T00:00:00Z"),
        mobile_push=marketing("UNSUBSCRIBED", consent_timestamp="2025-01-01T00:00:00Z"),
    )
    assert found["sms"] == [OptOut("sms", "UNSUBSCRIBED", LEFT)]
    # A time of consent may be that of the consent before.
    assert found["whatsapp"] == [OptOut("whatsapp", "UNSUBSCRIBED", None)]
    assert found["push"] == [OptOut("push", "UNSUBSCRIBED", "2025-01-01T00:00:00Z")]
    assert found["email"] == ()


def test_suppressions_are_opt_outs_of_e_mail_everywhere_or_from_a_list() -> None:
    found = shown(
        email=marketing(
            "SUBSCRIBED",
            suppression=[{"reason": "USER_SUPPRESSED", "timestamp": LEFT}],
            list_suppressions=[{"list_id": "ListNe", "reason": "UNSUBSCRIBE", "timestamp": "nonsense"}],
        )
    )
    assert found["email"] == [
        OptOut("email", "USER_SUPPRESSED", LEFT),
        OptOut("email", "UNSUBSCRIBE", None, "ListNe"),
    ]


def test_consent_withdrawn_without_a_time_has_that_of_its_suppression() -> None:
    found = shown(email=marketing("UNSUBSCRIBED", suppression=[{"reason": "UNSUBSCRIBE", "timestamp": LEFT}]))
    assert [each.at for each in found["email"] or ()] == [LEFT, LEFT]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"subscriptions": None},
        {"subscriptions": []},
        {"subscriptions": {"email": "SUBSCRIBED"}},
        {"subscriptions": {"email": {"marketing": {}}}},
        {"subscriptions": {"email": marketing("SUBSCRIBED", suppression="none")}},
    ],
)
def test_what_is_not_shown_as_it_should_be_is_not_known(attributes: dict[str, Any]) -> None:
    assert opt_outs_of(attributes)["email"] is None


def test_a_word_that_is_not_known_is_an_opt_out() -> None:
    assert shown(sms=marketing("PAUSED"))["sms"] == [OptOut("sms", "PAUSED", None)]


def test_identifiers_of_several_profiles_have_the_opt_outs_of_all() -> None:
    one, other = shown(sms=marketing("UNSUBSCRIBED", last_updated=LEFT)), shown(email=marketing("SUBSCRIBED"))
    assert join_opt_outs([other, one])["sms"] == [OptOut("sms", "UNSUBSCRIBED", LEFT)]
    assert join_opt_outs([other, {"email": None}])["email"] is None


def test_an_opt_out_that_was_sent_from_here_counts_until_a_subscription_ends_it() -> None:
    steps = of_steps("- id: out\n  unsubscribe: {channels: [email]}\n")
    [leaving] = operations(happened(email="ADA@x.example"), applied(steps))
    own = OwnOptOuts()
    own.note(leaving, NOW)
    sent = subscription("2026-11-23T09:00:00Z")
    assert [each.channel for found in own.find(sent).values() for each in found or ()] == ["email"]
    assert not any(own.find(sent, since=NOW + 1).values())
    own.note(sent, NOW)
    assert not any(own.find(sent).values())
