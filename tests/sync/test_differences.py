"""Klaviyo answers 2xx and leaves a part out: the audit, the counts and the metrics say so."""

from __future__ import annotations

from typing import Any

import pytest
from rich.style import Style

from askel_tui.core.requests.differences import describe_differences
from askel_tui.services.status import read_status
from askel_tui.store.journal.tables.audit import tail
from askel_tui.store.paths import journal_file
from askel_tui.tui.backend.audit_reader import AuditReader
from askel_tui.tui.screens.live.columns import LinePainter, column_widths
from askel_tui.tui.screens.live.entry_detail import entry_content
from tests.support.bad_days import brisk, change
from tests.support.workbench import NAME, Workbench

__all__ = ["brisk"]

pytestmark = pytest.mark.usefixtures("brisk")

PHONE = "+15555555555"
PARTIAL = """
workflow: partial
connection: maple-ember
trigger: part
profile: {email: data.email, phone_number: data.phone}
steps:
  - id: p
    upsert_profile: {first_name: data.first, properties: {Points: data.points, At: time}}
  - id: event
    track_event: {metric: Part Seen}
  - id: consent
    subscribe: {list: Welcome Flow, channels: [email, sms]}
"""


def _record(number: int, phone: str = PHONE) -> dict[str, Any]:
    data = {"email": f"Pf{number}@MapleAndEmber.example", "phone": phone, "first": "Pat", "points": 5}
    return {"id": f"pf-{number}", "event": "part", "data": data}


async def _dropping(bench: Workbench) -> None:
    change(bench, "PATCH", "settings", dropped_phones=["+1555"])
    await bench.apply(PARTIAL)


async def _differences(bench: Workbench) -> dict[str, Any]:
    entries = await bench.audit(record="pf-1")
    return {each.step or "": (each.response or {}).get("differences") for each in entries}


async def test_a_phone_that_was_left_out_is_in_every_entry_it_was_sent_with(either: Workbench) -> None:
    await _dropping(either)
    await either.take([_record(1)])
    await either.drain()
    await either.take([_record(2, "+442079460018")])
    await either.drain()
    assert either.profile("pf1@mapleandember.example").get("phone_number") is None
    missing = [{"field": "phone_number", "sent": PHONE, "answered": None}]
    assert await _differences(either) == {"p": missing, "event": missing, "consent": missing}
    for entry in await either.audit(record="pf-2"):
        assert "differences" not in (entry.response or {})
    [workflow] = (await read_status(either.instance)).workflows
    assert (workflow.differing, workflow.sent) == (3, 6)
    assert len(await either.audit(differing=True)) == 3
    assert len(await either.audit(differing=True, record="pf-2")) == 0
    assert (await either.instance.journal.verify_audit())[1] is None


async def test_the_live_tail_and_the_detail_show_it(bench: Workbench) -> None:
    await _dropping(bench)
    await bench.take([_record(1), _record(2, "+442079460018")])
    await bench.drain()
    entries = await bench.audit(step="p")
    reader = AuditReader(journal_file(bench.instance.home))
    rows = tail.read_rows(reader.db, [each.seq for each in entries])
    reader.close()
    styles = dict.fromkeys(("text", "muted", "good", "doubt", "bad", "cursor", "blurred"), Style())
    shown = {
        row.record: "".join(part.text for part in LinePainter(styles, column_widths(200)).paint(row))
        for row in rows
    }
    assert "≠ written" in shown["pf-1"]
    assert "not as sent: phone_number is nothing" in shown["pf-1"]
    assert "✓ written" in shown["pf-2"]
    assert 'phone_number is nothing, was "+15555555555"' in entry_content(entries[0], rows).plain


async def test_a_number_that_the_profile_keeps_from_before_is_shown(bench: Workbench) -> None:
    change(
        bench,
        "POST",
        "profiles",
        profiles=[{"email": "pf1@mapleandember.example", "phone_number": "+442079460018"}],
    )
    await _dropping(bench)
    await bench.take([_record(1)])
    await bench.drain()
    found = (await _differences(bench))["p"]
    assert found == [{"field": "phone_number", "sent": PHONE, "answered": "+442079460018"}]
    assert describe_differences(found).endswith('phone_number is "+442079460018", was "+15555555555"')


async def test_a_merge_that_leaves_something_out_says_so(bench: Workbench) -> None:
    people = [{"email": "pf1@mapleandember.example"}, {"phone_number": "+442079460018"}]
    change(bench, "POST", "profiles", profiles=people)
    bench.instance.state.change_connection(NAME, on_conflict="merge")
    await bench.apply(PARTIAL)
    bench.fault("merge_profiles", partial="phone_number", times=1)
    await bench.take([_record(1, "+442079460018")])
    await bench.drain()
    [merge] = await bench.audit(kind="merge", differing=True)
    assert [each["field"] for each in merge.response["detail"]["differences"]] == ["phone_number"]  # type: ignore[index]
    [workflow] = (await read_status(bench.instance)).workflows
    assert workflow.differing == 1
