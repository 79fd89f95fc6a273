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
    run.askel("workflow", "activate", "bulkp", "--since", "2000-01-01")
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
