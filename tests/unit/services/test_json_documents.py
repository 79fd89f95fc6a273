"""The JSON of status and dry run: the names, their order and what is left out are an interface."""

from __future__ import annotations

import json

from askel_tui.core.hold_causes import Cause
from askel_tui.core.operations import Target
from askel_tui.core.planning.rehearsal import Skip
from askel_tui.core.problems import Problem
from askel_tui.services.dry_run_result import (
    DryRun,
    DryRunTotals,
    OperationPreview,
    RecordPreview,
    RequestPreview,
)
from askel_tui.services.json_documents import to_json
from askel_tui.services.status import (
    BudgetStatus,
    ConnectionStatus,
    DaemonStatus,
    HoldStatus,
    SlowJobStatus,
    Status,
    WorkflowStatus,
)

STATUS = Status(
    DaemonStatus(running=True, pid=7),
    (ConnectionStatus("shop", None, "2026-07-15", "connected"),),
    (WorkflowStatus("welcome", "shop", 2, 3, "active", 4, 5, 6, 7, 8),),
    (HoldStatus("welcome", "list", Cause.TARGET_GONE, "the list is gone", 9, 10, 2),),
    (SlowJobStatus("shop", None, 11, 12, "slow"),),
    (BudgetStatus("AbCdEf", "get_lists", 60, 150, 13, foreign=True),),
)

DRY_RUN = DryRun(
    "welcome",
    2,
    "shop",
    (
        RecordPreview(
            "r-1",
            {"email": "ada@shop.example"},
            True,
            (
                OperationPreview(
                    "list",
                    "add_to_list",
                    Target("list", "L1", "Welcome"),
                    {"list Welcome": {"before": False, "after": True}},
                    RequestPreview("POST", "/api/lists/L1", {"data": []}),
                ),
                OperationPreview("vip", "require_segment", None, {}, None),
            ),
            (Skip("points", "gate vip: no"),),
            (Problem("too long", field="value", file="f.yaml", line=3), Problem("bad", step="list")),
        ),
    ),
    DryRunTotals(records=1, new=1, added={"Welcome": 1}),
)


def test_the_status_has_these_names_in_this_order() -> None:
    assert json.dumps(to_json(STATUS)) == (
        '{"daemon": {"running": true, "pid": 7}, '
        '"connections": [{"name": "shop", "account": null, "revision": "2026-07-15", "state": "connected", '
        '"refused": 0, "served": "", "revision_status": "stable", "revision_note": ""}], '
        '"workflows": [{"name": "welcome", "connection": "shop", "version": 2, "newest": 3, "state": "active", '
        '"unplanned": 4, "waiting": 5, "held": 6, "failed": 7, "sent": 8, "differing": 0, "discarded": 0, '
        '"records": null, "warnings": {}, "notes": [], "oldest_waiting": null}], '
        '"holds": [{"workflow": "welcome", "step": "list", "cause": "target_gone", "detail": "the list is gone", '
        '"since": 9, "waiting": 10, "version": 2, "stays": false, "reasons": []}], '
        '"jobs": [{"connection": "shop", "job": null, "since": 11, "operations": 12, "detail": "slow"}], '
        '"budgets": [{"account": "AbCdEf", "call": "get_lists", "window_s": 60, "limit": 150, "used": 13, '
        '"foreign": true}], "notices": [], "outages": [], "backfills": []}'
    )


def test_the_dry_run_has_these_names_in_this_order() -> None:
    assert json.dumps(to_json(DRY_RUN)) == (
        '{"workflow": "welcome", "version": 2, "connection": "shop", "records": [{"record": "r-1", '
        '"profile": {"email": "ada@shop.example"}, "new": true, "operations": [{"step": "list", '
        '"kind": "add_to_list", "target": {"type": "list", "id": "L1", "name": "Welcome"}, '
        '"changes": {"list Welcome": {"before": false, "after": true}}, '
        '"request": {"method": "POST", "path": "/api/lists/L1", "body": {"data": []}}, '
        '"depends": null, "passes": null, "merges": [], "notes": []}, '
        '{"step": "vip", "kind": "require_segment", "target": null, "changes": {}, "request": null, '
        '"depends": null, "passes": null, "merges": [], "notes": []}], '
        '"skipped": [{"step": "points", "why": "gate vip: no"}], '
        '"problems": [{"field": "value", "message": "too long"}, {"step": "list", "message": "bad"}], '
        '"unknown": false, "sent": null, "warnings": []}], '
        '"totals": {"records": 1, "new": 1, "changed": 0, "unchanged": 0, "skipped": 0, "problems": 0, '
        '"subscribed": 0, "unsubscribed": 0, "added": {"Welcome": 1}, "removed": {}, "events": {}, "flows": {}, '
        '"unknown": 0, "depends": 0, "merges": 0, "already_sent": 0, '
        '"dropped": 0, "confirmations": 0, "lifted": 0, "refused": 0, "warnings": {}}, "warnings": []}'
    )
