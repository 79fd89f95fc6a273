"""Reading many profiles at once, against a sandbox account at both revisions."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from askel_tui.core.operations import Identity
from askel_tui.klaviyo.client import Client
from askel_tui.klaviyo.errors import NotInAccount
from askel_tui.klaviyo.reads.profiles import (
    find_profiles,
    members_of_list,
    members_of_segment,
    read_consent,
)
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.sandbox.state import profiles as people
from tests.support.stub_server import Asked, Stub, client_of, page, serving

VIP = Identity(email="vip@example.com")
WREN = Identity(email="wren@mapleandember.example")
NOBODY = Identity(email="nobody@mapleandember.example")
ODD = Identity(email='o"d\\d,])@mapleandember.example')


async def test_each_identity_finds_its_profile(client: Client) -> None:
    external, both = Identity(external_id="ME-0003"), Identity(email=WREN.email, external_id="ME-0002")
    found = await find_profiles(client, [VIP, NOBODY, ODD, external, both])
    vip, sol, wren = found[VIP], found[external], found[both]
    assert vip is not None
    assert vip.attributes["first_name"] == "Vivian"
    assert "LoyaltyTier" in vip.attributes["properties"]
    assert vip.identity == Identity(email="vip@example.com", external_id="ME-0001")
    assert sol is not None
    assert sol.attributes["email"] == "sol@mapleandember.example"
    assert wren is not None
    assert wren.conflicting == ()
    assert found[NOBODY] is None
    assert found[ODD] is None


async def test_an_email_is_found_in_any_case(client: Client, sandbox: RunningSandbox) -> None:
    found = await find_profiles(client, [Identity(email="VIP@Example.com")])
    assert [read.id for read in found.values() if read] == [by_email(sandbox, "vip@example.com")]


async def test_a_filter_that_tells_upper_from_lower_is_asked_both_ways() -> None:
    stored = {"type": "profile", "id": "01", "attributes": {"email": "vip@example.com"}}

    async def strict(asked: Asked) -> web.StreamResponse:
        return page([stored] if '"vip@example.com"' in asked.query["filter"] else [])

    async with serving(Stub(handler=strict)) as stub, client_of(stub) as client:
        found = await find_profiles(client, [Identity(email="VIP@Example.com")])
    assert [read.id for read in found.values() if read] == ["01"]
    assert '"VIP@Example.com"' in stub.asked[0].query["filter"]


async def test_identifiers_of_two_profiles_are_reported(client: Client, sandbox: RunningSandbox) -> None:
    both = Identity(email=VIP.email, external_id="ME-0002")
    read = (await find_profiles(client, [both]))[both]
    assert read is not None
    assert read.id == by_email(sandbox, "vip@example.com")
    assert [other.id for other in read.conflicting] == [by_email(sandbox, "wren@mapleandember.example")]


async def test_phones_with_their_plus_are_found(client: Client, sandbox: RunningSandbox) -> None:
    people.create_profile(sandbox.account, {"phone_number": "+442079460018"}, 2e9)
    phone = Identity(phone_number="+442079460018")
    assert (await find_profiles(client, [phone]))[phone] is not None


async def test_hundreds_are_read_a_hundred_a_call(
    client: Client, sandbox: RunningSandbox, sent: list[Any]
) -> None:
    emails = [f"{'x' * (number % 60)}{number}@mapleandember.example" for number in range(250)]
    for number, email in enumerate(emails):
        people.create_profile(sandbox.account, {"email": email, "external_id": f"E{number}"}, 2e9)
    identities = [Identity(email=email, external_id=f"E{number}") for number, email in enumerate(emails)]
    found = await find_profiles(client, [*identities, *identities], only_fields=())
    assert all(read is not None and not read.conflicting for read in found.values())
    assert len(found) == 250
    assert len(sent) <= 8


async def test_no_identity_needs_no_call(client: Client, sent: list[Any]) -> None:
    assert await find_profiles(client, []) == {}
    assert await members_of_list(client, "MeNews", []) == {}
    assert sent == []


async def test_segment_membership_in_bulk(client: Client, sent: list[Any]) -> None:
    external, unknown = Identity(external_id="ME-0001"), Identity(external_id="ME-9999")
    answers = await members_of_segment(client, "MeVip1", [VIP, WREN, NOBODY, external, unknown])
    assert answers == {VIP: True, WREN: False, NOBODY: False, external: True, unknown: False}
    assert not [path for _, path, _ in sent if "relationships" in path]


async def test_a_profile_with_an_external_id_only_is_read_by_itself(
    client: Client, sandbox: RunningSandbox
) -> None:
    people.create_profile(sandbox.account, {"external_id": "X1", "properties": {"LoyaltyTier": "Gold"}}, 2e9)
    people.create_profile(sandbox.account, {"external_id": "X2"}, 2e9)
    one, other = Identity(external_id="X1"), Identity(external_id="X2")
    assert await members_of_segment(client, "MeGold", [one, other]) == {one: True, other: False}


async def test_list_membership_in_bulk(client: Client) -> None:
    late = Identity(email="noor@mapleandember.example")
    assert await members_of_list(client, "MePrmo", [VIP, late]) == {VIP: True, late: False}
    assert await members_of_list(client, "MeNews", [VIP, late]) == {VIP: True, late: True}


async def test_a_group_that_is_gone_is_missing(client: Client) -> None:
    with pytest.raises(NotInAccount):
        await members_of_segment(client, "NoSuch", [VIP])
    with pytest.raises(NotInAccount):
        await members_of_list(client, "NoSuch", [VIP])


async def test_consent_is_read_by_channel(client: Client, sandbox: RunningSandbox) -> None:
    people.create_profile(sandbox.account, {"email": "new@mapleandember.example"}, 2e9)
    new = Identity(email="new@mapleandember.example")
    found = await read_consent(client, [VIP, new, NOBODY])
    assert found[VIP]["email"] == "SUBSCRIBED"
    assert found[new]["email"] != "SUBSCRIBED"
    assert found[NOBODY] == {}


def by_email(sandbox: RunningSandbox, email: str) -> str:
    return next(
        each.id for each in sandbox.account.profiles.values() if each.attributes.get("email") == email
    )


@pytest.mark.parametrize("people_asked", [4, 40])
async def test_asked_about_many_the_members_of_a_small_group_are_read_instead(
    client: Client, sandbox: RunningSandbox, people_asked: int
) -> None:
    """At 40 the segment is the smaller side and read whole; at 4 it is the larger one and asked."""
    wanted = [WREN, NOBODY, Identity(external_id="ME-0003")]
    wanted += [Identity(email=f"n{number}@mapleandember.example") for number in range(people_asked - 3)]
    before = sandbox.world.logged_count
    members = await members_of_segment(client, "MeTier", wanted, full_read_from=3)
    assert {each for each, member in members.items() if member} == {WREN, Identity(external_id="ME-0003")}
    asked = [entry["query"] for entry in sandbox.world.log if entry["n"] > before]
    assert any("filter" in query for query in asked) == (people_asked == 4)
