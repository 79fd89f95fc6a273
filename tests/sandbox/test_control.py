"""The control surface: faults, the request log, switches, reset, and the state in a file."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from askel_tui.sandbox.http.server import PortTaken, serve
from askel_tui.sandbox.state.persistence import StateUnreadable
from tests.sandbox.api import api_of, event_body, import_body, members_body
from tests.support.patience import PATIENCE_S
from tests.support.sandbox import running, sandbox_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.api import Api

pytestmark = pytest.mark.clock


async def _fault(api: Api, **fault: Any) -> None:
    await api.control("POST", "faults", fault)


async def test_a_status_is_answered_as_often_as_asked(api: Api) -> None:
    await _fault(api, endpoint="create_event", status=503, times=2, retry_after=7)
    body = event_body("f@shop.example", "A", "u")
    answers = [await api.call("create_event", body=body) for _ in range(3)]
    assert [one.status for one in answers] == [503, 503, 202]
    assert answers[0].headers["Retry-After"] == "7"
    assert (await api.call("get_lists")).status == 200
    assert len((await api.state())["events"]) == 1
    assert (await api.control("GET", "faults"))["faults"][0]["struck"] == 2


async def test_html_and_malformed_bodies(api: Api) -> None:
    await _fault(api, endpoint="get_accounts", status=403, body="html", times=1)
    blocked = await api.raw("GET", "/api/accounts")
    assert blocked.headers["cf-mitigated"] == "challenge"
    assert blocked.headers["Content-Type"].startswith("text/html")
    await _fault(api, endpoint="get_accounts", status=200, body="malformed")
    with pytest.raises(json.JSONDecodeError):
        await api.raw("GET", "/api/accounts")


async def test_a_status_after_the_write(api: Api) -> None:
    await _fault(api, endpoint="create_event", status=504, after=True)
    assert (await api.call("create_event", body=event_body("f@shop.example", "A", "u"))).status == 504
    assert len((await api.state())["events"]) == 1


@pytest.mark.parametrize(("how", "written"), [("reset", 0), ("lost", 1)])
async def test_a_connection_is_dropped_before_or_after_the_write(api: Api, how: str, written: int) -> None:
    await _fault(api, endpoint="*", **{how: True}, times=1)
    with pytest.raises(aiohttp.ClientError):
        await api.call("create_event", body=event_body("f@shop.example", "A", "u"))
    assert len((await api.state())["events"]) == written
    assert (await api.control("GET", "requests"))["requests"][-1]["status"] == how
    assert (await api.call("get_lists")).status == 200


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
async def test_an_answer_breaks_off_within_its_body(api: Api, share: float) -> None:
    await _fault(api, endpoint="create_or_update_profile", cut=share, times=1)
    body = {"data": {"type": "profile", "attributes": {"email": "cut@shop.example"}}}
    with pytest.raises(aiohttp.ClientError):
        await api.call("create_or_update_profile", body=body)
    assert [each["email"] for each in (await api.state())["profiles"]].count("cut@shop.example") == 1
    assert (await api.control("GET", "requests"))["requests"][-1]["status"] == "cut"
    assert (await api.call("get_lists")).status == 200


async def test_a_delay_does_not_hold_up_others(api: Api) -> None:
    await _fault(api, endpoint="get_lists", delay=3600.0)
    slow = asyncio.create_task(api.call("get_lists"))
    assert (await api.call("get_segments")).status == 200
    assert not slow.done()
    slow.cancel()


async def test_chance_is_the_same_with_the_same_seed(api: Api) -> None:
    runs = []
    for _ in range(2):
        await api.control("DELETE", "faults")
        await _fault(api, endpoint="get_lists", status=500, probability=0.5, seed=7)
        runs.append([(await api.call("get_lists")).status for _ in range(30)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


@pytest.mark.parametrize(
    "fault", [{"stat": 500}, {"status": "500"}, {"body": "xml"}, {"times": True}, {"cut": 1.0}]
)
async def test_a_fault_that_makes_no_sense_is_refused(api: Api, fault: dict[str, Any]) -> None:
    answer = await api.raw("POST", "/sandbox/faults", body=json.dumps(fault).encode())
    assert answer.status == 400
    assert answer.body["error"]


async def test_the_log_tells_all_but_the_key(api: Api) -> None:
    await api.call("add_profiles_to_list", "MeNews", body=members_body("01NOBODY"))
    await api.call("get_lists", query={"filter": 'equals(name,"x")'})
    log = await api.control("GET", "requests")
    first, second = log["requests"]
    assert (first["endpoint"], first["method"], first["status"]) == ("add_profiles_to_list", "POST", 404)
    assert first["body"] == members_body("01NOBODY")
    assert first["answered_ms"] >= first["received_ms"]
    assert second["query"] == {"filter": 'equals(name,"x")'}
    assert api.key not in json.dumps(log)
    assert first["key"].startswith("sha256:")
    assert (await api.control("GET", f"requests?after={first['n']}"))["requests"] == [second]
    counts = (await api.state())["requests"]
    assert counts == {"add_profiles_to_list": {"404": 1}, "get_lists": {"200": 1}}
    await api.control("PATCH", "settings", {"log": False})
    await api.call("get_lists")
    assert (await api.control("GET", "requests"))["last"] == second["n"]


@pytest.mark.parametrize("change", [{"colour": 1}, {"retired": "later"}, {"limits": "no"}, {"job_time": "1"}])
async def test_an_unknown_switch_is_refused(api: Api, change: dict[str, Any]) -> None:
    answer = await api.raw("PATCH", "/sandbox/settings", body=json.dumps(change).encode())
    assert answer.status == 400
    assert (await api.control("GET", "settings"))["limits"] is False


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "nothing"), ("DELETE", "lists/None"), ("PATCH", "segments/None"), ("GET", "state?account=None")],
)
async def test_the_control_surface_says_what_it_lacks(api: Api, method: str, path: str) -> None:
    answer = await api.raw(method, f"/sandbox/{path}")
    assert answer.status == 404
    assert answer.body["error"]


async def test_reset_starts_over(api: Api) -> None:
    await api.call("create_event", body=event_body("f@shop.example", "A", "u"))
    await api.control("POST", "reset", {"seed": "maple-ember"})
    state = await api.state()
    assert state["events"] == []
    assert len(state["lists"]) == 14


async def test_the_seed_is_the_story(api: Api) -> None:
    state = await api.state()
    assert state["account"] == {"id": "MpEmbr", "name": "Maple & Ember"}
    assert {"Welcome Flow", "Newsletter", "Promotions"} <= {one["name"] for one in state["lists"]}
    assert next(one["emails"] for one in state["segments"] if one["name"] == "VIP") == ["vip@example.com"]
    flows = {one["name"]: (one["status"], one["trigger_type"]) for one in state["flows"]}
    assert flows["Welcome Series"] == ("live", "Added to List")
    assert flows["First Points Thanks"] == ("live", "Metric")
    assert "draft" in {status for status, _ in flows.values()}
    pages = [page.ids async for page in api.pages("get_templates")]
    assert [len(page) for page in pages] == [10, 3]
    assert {one["consent"]["email.marketing"] for one in state["profiles"]} == {"SUBSCRIBED"}


async def test_templates_are_made_changed_and_deleted(api: Api) -> None:
    attributes = {"name": "New", "editor_type": "CODE", "html": "<p>x</p>"}
    made = await api.call("create_template", body={"data": {"type": "template", "attributes": attributes}})
    ident = made.data["id"]
    change = {"data": {"type": "template", "id": ident, "attributes": {"name": "Newer"}}}
    assert (await api.call("update_template", ident, body=change)).data["attributes"]["name"] == "Newer"
    assert (await api.call("get_template", ident)).data["attributes"]["html"] == "<p>x</p>"
    assert (await api.call("delete_template", ident)).status == 200
    assert (await api.call("get_template", ident)).status == 404


async def test_the_state_survives_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    settings = {"limits": False, "job_time": 3600.0}
    first = await serve(state=path, settings=settings)
    async with api_of(first) as api:
        await api.call("create_event", body=event_body("f@shop.example", "A", "u"))
        await api.call(
            "bulk_import_profiles", body=import_body({"email": "j@shop.example"}, lists=("MeKiln",))
        )
        await api.control("DELETE", "lists/Promotions")
        before = await api.state()
        await first.aclose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = await serve(state=path)
    async with api_of(second) as api:
        after = await api.state()
        assert {**after, "requests": None} == {**before, "requests": None}
        await api.call("create_event", body=event_body("f@shop.example", "A", "u"))
        assert len((await api.state())["events"]) == 1
        await api.control("POST", "settle")
        await api.control("POST", "lists/Promotions/restore")
        lists = {one["name"]: one["emails"] for one in (await api.state())["lists"]}
        assert lists["Kiln Club"] == ["j@shop.example"]
        assert len(lists["Promotions"]) == 4
        await api.control("POST", "save")
        assert json.loads(path.read_text())["sandbox"] == 1
        await second.aclose()


async def test_a_file_that_is_no_state_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"other": 1}')
    with pytest.raises(StateUnreadable, match="is not a sandbox's state file"):
        await serve(state=path)
    assert path.read_text() == '{"other": 1}'


async def test_a_taken_port_is_reported() -> None:
    async with running() as one:
        with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{one.port}"):
            await serve(port=one.port)


def test_a_process_of_its_own_saves_when_it_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with sandbox_process(state=path) as one:
        one.control("POST", "lists", {"name": "Made By Hand"})
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(timeout=PATIENCE_S) == 0
    with sandbox_process(state=path) as one:
        assert "Made By Hand" in {each["name"] for each in one.state()["lists"]}
        second = subprocess.run(
            [sys.executable, "-m", "askel_tui.sandbox", "--port", one.url.rpartition(":")[2]],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert second.returncode == 1
        assert second.stdout == ""
        assert "cannot listen" in second.stderr
        assert second.stderr.count("\n") == 1
