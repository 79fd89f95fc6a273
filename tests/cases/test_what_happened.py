"""The audit and the counts say what happened."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.case_runner import CaseRun

Open = Callable[[str], CaseRun]


def test_a_phone_that_klaviyo_left_out_is_in_the_audit(case: Open) -> None:
    run = case("phone-ignored-by-klaviyo")
    run.account.control("PATCH", "settings", {"dropped_phones": ["+1555", "+1202"]})
    # The newest rules refuse a placeholder before it is sent.
    number = "+15555555555" if run.rules == 1 else "+12025550123"
    other = {} if run.rules == 1 else {"e164(data.phone, 'US')": f"\"'{number}'\""}
    run.apply(replace=other)
    run.ingest()
    run.go_live("partial")
    [entry] = run.audit("pf-1")
    assert entry["status"] == "written"
    assert entry["response"]["differences"] == [{"field": "phone_number", "sent": number, "answered": None}]
    assert f'not as sent: phone_number is nothing, was "{number}"' in run.askel("audit", "--differing").stdout
    [workflow] = run.askel.json("status")["workflows"]
    assert workflow["differing"] == 1
    assert (
        "Klaviyo did not take all of 1 write: `askel audit --differing` shows what"
        in run.askel("status").stdout
    )


def test_all_count_what_failed_alike_and_say_the_unit(case: Open) -> None:
    run = case("failed-counts-differ")
    run.account.control("PATCH", "settings", {"dropped_phones": []})
    run.apply()
    run.ingest()
    run.askel("workflow", "activate", "bulkp", "--since", "2000-01-01", "--fire-flows")
    daemon = run.askel("daemon", "--until-idle", code=None)
    listed = run.askel.json("failed", "list", "--workflow", "bulkp")
    [workflow] = run.askel.json("status")["workflows"]
    records, operations = workflow["records"], workflow["failed"]
    assert records["failed"] == len(listed["failed"]) > 2
    assert operations > records["failed"]
    assert sum(records.values()) == len(run.path("r.jsonl").read_text().splitlines())
    sentence = f"{records['failed']} records failed, {operations} operations"
    for shown in (daemon.stderr, run.askel("status").stderr, run.askel("failed", "list").stderr):
        assert sentence in shown
    one = run.askel("failed", "list", "--last", "1").stderr
    assert f"{sentence}; the oldest 1 are shown" in one
    ids = [str(each["id"]) for each in listed["failed"]]
    run.askel("failed", "discard", *ids[1:])
    assert "1 record failed, " in run.askel("status").stderr
    [workflow] = run.askel.json("status")["workflows"]
    assert workflow["records"]["failed"] == 1


def test_events_that_klaviyo_does_not_keep_are_not_called_written(case: Open) -> None:
    run = case("test-domain-events-written")
    run.account.control("PATCH", "settings", {"drop_example_domains": True})
    run.apply("ex.yaml")
    shown = run.dry_run("dropped", "ex.jsonl")
    notes = [each["operations"][0]["notes"] for each in shown["records"]]
    assert notes == [["Klaviyo keeps no events of test.com"], ["Klaviyo keeps no events of example.com"], []]
    assert (shown["totals"]["dropped"], shown["totals"]["events"]) == (2, {"Dropped Test": 1})
    assert (
        "Klaviyo keeps no events of test.com"
        in run.askel("dry-run", "dropped", str(run.path("ex.jsonl"))).stdout
    )
    run.ingest("ex.jsonl")
    run.go_live("dropped")
    ended = {record: run.audit(record)[0] for record in ("dr-1", "dr-2", "dr-3")}
    assert [each["status"] for each in ended.values()] == ["unconfirmed", "unconfirmed", "written"]
    assert ended["dr-1"]["response"]["detail"] == "Klaviyo keeps no events of test.com"
    assert "detail" not in ended["dr-3"]["response"]
    kept = [each for each in run.account.state()["events"] if each["metric"] == "Dropped Test"]
    assert len(kept) == 1
