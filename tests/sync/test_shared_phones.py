"""Phone numbers that several people have: nobody takes another's profile over, unless the workflow says so."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.bad_days import brisk, change
from tests.support.workbench import Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

PHONE = "+442079460101"
READ = "get_profiles"


def workflow(policy: str = "", *, rules: str = "askel: 2\n") -> str:
    """A workflow that writes a profile, an event and a list by e-mail, phone and external id."""
    policy = f"on_shared_phone: {policy}\n" if policy else ""
    return f"""\
{rules}workflow: shared
connection: maple-ember
trigger: shared
profile: {{email: data.email, phone_number: data.phone, external_id: data.cid}}
{policy}steps:
  - id: p
    upsert_profile: {{first_name: data.first}}
  - id: l
    add_to_list: Kiln Club
  - id: e
    track_event: {{metric: Signed Up}}
"""


def person(
    name: str, number: int = 0, *, phone: str | None = PHONE, cid: str | None = None
) -> dict[str, Any]:
    """A record of a person."""
    data = {"email": f"{name}@mapleandember.example", "phone": phone, "first": name.title(), "cid": cid}
    return {"id": f"{name}-{number}", "event": "shared", "data": data}


def people(bench: Workbench) -> dict[str, tuple[Any, Any, Any]]:
    """(e-mail, phone, external id) by first name, of those that the records made."""
    return {
        each["first_name"]: (
            each.get("email", "").partition("@")[0],
            each.get("phone_number"),
            each.get("external_id"),
        )
        for each in bench.state()["profiles"]
        if each.get("first_name") in ("Maria", "Paul", "Zoe")
    }


def reads(bench: Workbench) -> list[str]:
    """The phone numbers whose owners were read."""
    asked = [each["query"].get("filter", "") for each in bench.requests(READ, after=bench.requests_since)]
    return [phone for each in asked if "phone_number" in each for phone in re.findall(r"[+][0-9]+", each)]


async def test_the_second_is_written_without_it(either: Workbench) -> None:
    await either.apply(workflow())
    await either.take([person("maria", cid="C-1"), person("paul", cid="C-2")])
    await either.drain()
    assert people(either) == {"Maria": ("maria", PHONE, "C-1"), "Paul": ("paul", None, "C-2")}
    assert {each["email"] for each in either.events("Signed Up")} == {
        "maria@mapleandember.example",
        "paul@mapleandember.example",
    }
    assert set(either.on_list("Kiln Club")) >= {"maria@mapleandember.example", "paul@mapleandember.example"}
    for entry in await either.audit(record="paul-0"):
        assert "belongs to another profile: it is left out" in (entry.response or {})["detail"]
        assert entry.profile is not None
        assert "phone_number" not in entry.profile
    assert await either.instance.journal.warnings() == {"shared": {"shared_phone": 1}}
    assert len(either.requests(READ, after=either.requests_since)) == 1


async def test_who_has_it_in_the_account_is_read_once_for_all(bench: Workbench) -> None:
    change(bench, "POST", "profiles", profiles=[{"email": "zoe@x.example", "phone_number": PHONE}])
    await bench.apply(workflow())
    more = [person(f"m{number}", phone=f"+4420794601{number:02}") for number in range(10, 60)]
    await bench.take([person("paul"), *more])
    await bench.drain()
    assert people(bench)["Paul"] == ("paul", None, None)
    assert sorted(reads(bench)) == sorted([PHONE, *(each["data"]["phone"] for each in more)])
    await bench.take([person("paul", 1), person("m15", 2, phone="+442079460115")])
    before = bench.sandbox.world.logged_count
    await bench.drain()
    assert not bench.requests(READ, after=before)


async def test_a_changed_address_goes_on(bench: Workbench) -> None:
    await bench.apply(workflow())
    await bench.take([person("maria", cid="C-1"), {**person("paul", cid="C-1"), "id": "moved"}])
    await bench.drain()
    assert people(bench) == {"Paul": ("paul", PHONE, "C-1")}
    assert await bench.instance.journal.warnings() == {}


async def test_it_fails_where_the_workflow_says_so(bench: Workbench) -> None:
    await bench.apply(workflow("fail"))
    await bench.take([person("maria"), person("paul")])
    await bench.drain()
    assert people(bench) == {"Maria": ("maria", PHONE, None)}
    [failure] = await bench.instance.journal.failures()
    assert (failure.record, failure.step) == ("paul-0", "p")
    assert f"{PHONE} belongs to another profile" in failure.reason
    counts = (await bench.instance.journal.counts())["shared"]
    assert (counts.sent, counts.failed, counts.waiting) == (3, 3, 0)


@pytest.mark.parametrize(("policy", "rules"), [("go_on", "askel: 2\n"), ("", "")])
async def test_it_goes_on_and_counts_without_reading(bench: Workbench, policy: str, rules: str) -> None:
    await bench.apply(workflow(policy, rules=rules))
    await bench.take([person("maria", cid="C-1"), person("paul", cid="C-2")])
    await bench.drain()
    assert people(bench) == {"Paul": ("paul", PHONE, "C-2")}
    assert await bench.instance.journal.warnings() == {"shared": {"shared_phone": 1}}
    assert not reads(bench)


async def test_an_import_job_takes_no_profile_over(bench: Workbench) -> None:
    bench.set_limits(max_single_backlog_s=0)
    await bench.apply(workflow())
    many = [person(f"p{number}", phone=f"+4420794602{number:02}") for number in range(80)]
    await bench.take([person("maria", cid="C-1"), *many, person("paul", cid="C-2"), person("zoe")])
    await bench.drain()
    assert bench.requests("bulk_import_profiles")
    assert people(bench) == {
        "Maria": ("maria", PHONE, "C-1"),
        "Paul": ("paul", None, "C-2"),
        "Zoe": ("zoe", None, None),
    }
    assert await bench.instance.journal.warnings() == {"shared": {"shared_phone": 2}}


async def test_consent_for_another_s_phone_is_left_out(bench: Workbench) -> None:
    text = (
        workflow().partition("steps:")[0]
        + """steps:
  - id: both
    subscribe: {channels: [email, sms], list: Newsletter, proof: record}
  - id: text
    subscribe: {channels: [sms], list: Newsletter, proof: record}
"""
    )
    change(bench, "POST", "profiles", profiles=[{"email": "zoe@x.example", "phone_number": PHONE}])
    await bench.apply(text)
    await bench.take([person("paul")])
    await bench.drain()
    assert bench.profile("paul@mapleandember.example")["consent"]["email.marketing"] == "SUBSCRIBED"
    assert bench.profile("zoe@x.example")["consent"].get("sms.marketing") != "SUBSCRIBED"
    entries = {entry.step: entry.status for entry in await bench.audit(record="paul-0") if entry.operation}
    assert entries["text"] == "skipped"


async def test_nothing_is_sent_while_who_has_it_cannot_be_read(bench: Workbench) -> None:
    bench.fault(READ, status=503, times=6)
    await bench.apply(workflow())
    await bench.take([person("maria"), person("paul")])
    await bench.drain()
    assert people(bench) == {"Maria": ("maria", PHONE, None), "Paul": ("paul", None, None)}
    first = bench.requests("create_or_update_profile", after=bench.requests_since)[0]
    assert (
        len([each for each in bench.requests(READ) if each["status"] == 503 and each["n"] < first["n"]]) >= 1
    )


async def test_a_number_that_its_owner_gave_up_is_free(bench: Workbench) -> None:
    await bench.apply(workflow())
    await bench.take([person("maria"), person("maria", 1, phone="+442079460102"), person("paul")])
    await bench.drain()
    assert people(bench) == {"Maria": ("maria", "+442079460102", None), "Paul": ("paul", PHONE, None)}
