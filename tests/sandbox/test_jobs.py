"""Bulk import: the job's life, its lists, rows that fail, calls that are refused whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.api import api_of, import_body
from tests.support.sandbox import running

if TYPE_CHECKING:
    from tests.sandbox.api import Api

pytestmark = pytest.mark.clock


async def _import(api: Api, *profiles: dict[str, Any], lists: tuple[str, ...] = ()) -> str:
    answer = await api.call("bulk_import_profiles", body=import_body(*profiles, lists=lists))
    assert answer.status == 202, answer.body
    assert answer.data["attributes"]["status"] == "queued"
    ident: str = answer.data["id"]
    return ident


async def test_a_job_writes_its_rows_and_fills_its_lists(api: Api) -> None:
    await api.upsert("old@shop.example", first_name="Kept", properties={"a": 1})
    rows: list[dict[str, Any]] = [
        {"email": "old@shop.example", "first_name": None, "properties": {"b": 2}},
        {"email": "new@shop.example", "location": {"city": "Leeds"}},
    ]
    job = await _import(api, *rows, lists=("MeWelc",))
    done = await api.call("get_bulk_import_profiles_job", job, query={"include": "lists"})
    attributes = done.data["attributes"]
    assert (attributes["status"], attributes["completed_count"], attributes["failed_count"]) == (
        "complete",
        2,
        0,
    )
    assert done.body["included"][0]["id"] == "MeWelc"
    assert (await api.call("get_list_for_bulk_import_profiles_job", job)).ids == ["MeWelc"]
    assert (await api.call("get_list_ids_for_bulk_import_profiles_job", job)).ids == ["MeWelc"]
    assert len((await api.call("get_profiles_for_bulk_import_profiles_job", job)).data) == 2
    assert len((await api.call("get_profile_ids_for_bulk_import_profiles_job", job)).data) == 2
    state = await api.state()
    old = next(one for one in state["profiles"] if one.get("email") == "old@shop.example")
    assert (old["first_name"], old["properties"], old["lists"]) == (
        "Kept",
        {"a": 1, "b": 2},
        ["Welcome Flow"],
    )
    assert next(one["fired"] for one in state["flows"] if one["name"] == "Welcome Series") == 2


async def test_rows_fail_one_by_one_and_their_errors_have_pages(api: Api) -> None:
    await api.upsert("a@shop.example", external_id="E-A")
    await api.upsert("b@shop.example")
    fail = {f"f{n}@shop.example": "The profile could not be processed." for n in range(25)}
    await api.control("PATCH", "settings", {"import_fail": fail})
    rows = [{"email": email} for email in fail]
    job = await _import(
        api, *rows, {"email": "b@shop.example", "external_id": "E-A"}, {"email": "ok@shop.example"}
    )
    attributes = (await api.call("get_bulk_import_profiles_job", job)).data["attributes"]
    assert (attributes["completed_count"], attributes["failed_count"]) == (1, 26)
    pages = [page async for page in api.pages("get_errors_for_bulk_import_profiles_job", job)]
    assert [len(page.data) for page in pages] == [20, 6]
    last = pages[1].data[-1]["attributes"]
    assert last["code"] == "duplicate_profile"
    assert last["source"]["pointer"].startswith("/data/attributes/profiles/data/25/")
    assert last["original_payload"] == {"email": "b@shop.example", "external_id": "E-A"}


async def test_a_bad_address_refuses_the_whole_call(api: Api) -> None:
    rows = [{"email": "good@shop.example"}, {"email": "bad"}, {"phone_number": "12"}]
    answer = await api.call("bulk_import_profiles", body=import_body(*rows))
    assert answer.status == 400
    at = "/data/attributes/profiles/data"
    assert answer.pointers == [f"{at}/1/attributes/email", f"{at}/2/attributes/phone_number"]
    assert "good@shop.example" not in {one.get("email") for one in (await api.state())["profiles"]}


async def test_the_limits_of_a_call(api: Api) -> None:
    many = [{"external_id": str(n)} for n in range(10_001)]
    assert (await api.call("bulk_import_profiles", body=import_body(*many))).status == 400
    heavy = {"email": "h@shop.example", "properties": {"x": "y" * 100_001}}
    assert (await api.call("bulk_import_profiles", body=import_body(heavy))).status == 400
    large = [
        {"external_id": f"{n}-{m}", "properties": {"x": "y" * 90_000}} for n in range(8) for m in range(7)
    ]
    assert (await api.call("bulk_import_profiles", body=import_body(*large))).status == 413
    assert (
        await api.call("bulk_import_profiles", body=import_body(many[0], lists=("NoList",)))
    ).status == 404


async def test_a_job_takes_its_time_and_can_be_cancelled(api: Api) -> None:
    await api.control("PATCH", "settings", {"job_time": 3600.0})
    first = await _import(api, {"email": "one@shop.example"})
    second = await _import(api, {"email": "two@shop.example"})
    assert (await api.call("get_bulk_import_profiles_job", first)).data["attributes"]["status"] == "queued"
    await api.control("POST", f"jobs/{second}/cancel")
    cancelled = (await api.call("get_bulk_import_profiles_job", second)).data["attributes"]
    assert cancelled["status"] == "cancelled"
    await api.control("POST", "settle")
    statuses = {one["id"]: one["status"] for one in (await api.state())["jobs"]}
    assert statuses == {first: "complete", second: "cancelled"}
    emails = {one.get("email") for one in (await api.state())["profiles"]}
    assert emails >= {"one@shop.example"}
    assert "two@shop.example" not in emails
    listed = await api.call("get_bulk_import_profiles_jobs", query={"filter": 'equals(status,"complete")'})
    assert listed.ids == [first]


async def test_a_started_job_is_processing() -> None:
    async with running(job_time=3.0) as sandbox, api_of(sandbox) as api:
        job = await _import(api, {"email": "one@shop.example"})
        account = sandbox.account
        account.scheduled = [(due - 2.0, number, deed, what) for due, number, deed, what in account.scheduled]
        attributes = (await api.call("get_bulk_import_profiles_job", job)).data["attributes"]
        assert attributes["status"] == "processing"
        assert attributes["started_at"]


async def test_the_older_revision_imports_too(api24: Api) -> None:
    job = await _import(api24, {"email": "o@shop.example", "anonymous_id": "x"}, lists=("MeKiln",))
    assert (await api24.call("get_bulk_import_profiles_job", job)).data["attributes"]["status"] == "complete"
