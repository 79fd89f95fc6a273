"""Interpretation of answers to bulk calls, and of how import jobs ended.

A row that can't be judged in bulk goes alone as a single call, whose answer judges it. A bulk event call offers
nothing to poll, so its events stay unconfirmed (docs/klaviyo.md 2.6, 2.12).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.core.hold_causes import KEY_CAUSES
from askel_tui.core.requests.bulk import Row, row_index_of
from askel_tui.core.requests.differences import differences_of
from askel_tui.klaviyo.client import Response
from askel_tui.klaviyo.errors import InvalidRequest, KlaviyoError
from askel_tui.store.journal.rows import Decision, Outcome, SettledOperation, StoredOperation
from askel_tui.sync.settlement.error_policy import action_for, settlement_for
from askel_tui.sync.settlement.row_errors import CONFLICT_CODE, errors_by_row, find_imbalance, job_difference
from askel_tui.sync.settlement.single_calls import sent_remark
from askel_tui.sync.settlement.values import HeldOperations, Retry, Settlement, single_retries

IMBALANCE_KIND = "imbalance"
"""The kind of audit entries about an import job whose figures do not add up."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The end of the wait for an import job: with the job's attributes and row errors, with a `failure` or an
    `error`."""

    job: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    row_errors: Sequence[Mapping[str, Any]] = ()
    failure: str | None = None
    """The reason why the job's rows are sent again; no job runs with them any more."""
    error: KlaviyoError | None = None
    """The reason why jobs can't be read; where it is the key, the job may still run."""


def interpret_events(
    operations: Sequence[StoredOperation], outcome: Response | KlaviyoError, rows: Sequence[Row] = ()
) -> Settlement:
    """Interprets the answer to a bulk event call; its rows are not known where it is sent again after a crash."""
    if isinstance(outcome, KlaviyoError):
        return _interpret_error(operations, outcome, rows)
    status, ms = outcome.status, outcome.duration_ms
    return Settlement(
        [
            SettledOperation(
                each,
                "unconfirmed",
                status,
                detail=sent_remark(each.operation),
                ms=ms,
                differences=differences_of(each.operation, None, outcome.left_out, len(operations)),
            )
            for each in operations
        ]
    )


def interpret_import(
    operations: Sequence[StoredOperation],
    outcome: Response | KlaviyoError,
    rows: Sequence[Row],
    job: JobEnd | None,
) -> Settlement:
    """Interprets the end of an import job for its operations; `job` is None where no job was made."""
    error = job.error if job is not None else outcome
    if isinstance(error, KlaviyoError):
        action = action_for(error, None)
        if job is not None and action.cause in KEY_CAUSES:
            held = HeldOperations(operations, action.cause, action.detail, keep_request_open=True)
            return Settlement(held=[held])
        return _interpret_error(operations, error, rows if job is None else ())
    assert job is not None
    if job.failure is not None:
        return Settlement(retries=[Retry(operations, job.failure)])
    answer = None if isinstance(outcome, KlaviyoError) else outcome
    return _interpret_rows(operations, rows, job, answer)


def _interpret_error(
    operations: Sequence[StoredOperation], error: KlaviyoError, rows: Sequence[Row]
) -> Settlement:
    action = action_for(error, None)
    if (settlement := settlement_for(action, operations)) is not None:
        return settlement
    named = _named_rows(error, len(rows))
    rejected = {each.id for index, row in enumerate(rows) if index in named for each in row.operations}
    alone = [stored for stored in operations if stored.operation.id in rejected]
    rest = [stored for stored in operations if stored.operation.id not in rejected]
    if not alone or not rest:
        # Without a row at fault the list may be gone, or an event already stored: single calls show which.
        return Settlement(retries=single_retries(operations, str(error)))
    return Settlement(retries=single_retries(alone, str(error)), again=[rest], again_reason=str(error))


def _named_rows(error: KlaviyoError, count: int) -> set[int]:
    """Finds which of `count` rows the error names; a row that it names for its list is not at fault."""
    if not isinstance(error, InvalidRequest):
        return set()
    pointers = [item.pointer or "" for item in error.errors]
    named = {row_index_of(pointer) for pointer in pointers if "relationships" not in pointer}
    return {index for index in named if index is not None and index < count}


def _interpret_rows(
    operations: Sequence[StoredOperation], rows: Sequence[Row], job: JobEnd, answer: Response | None
) -> Settlement:
    """Settles the rows of a job that is complete: every row was written, or is named by an error."""
    duration_ms = 0 if answer is None else answer.duration_ms
    left_out = None if answer is None else answer.left_out
    stored = {each.operation.id: each for each in operations}
    errors = errors_by_row(job.row_errors, rows)
    imbalance = find_imbalance(job.attributes, len(rows), len(errors))
    response = json.dumps({"data": {"type": "profile-bulk-import-job", "id": job.job}}).encode()
    written: Outcome = "written" if imbalance is None else "unconfirmed"
    figures = [] if imbalance is None else [job_difference(job.attributes, len(rows), len(errors))]
    ended: list[SettledOperation] = []
    unattempted: list[StoredOperation] = []
    conflicts: list[StoredOperation] = []
    coalesced: list[StoredOperation] = []
    for index, row in enumerate(rows):
        carried = [stored[each.id] for each in row.operations]
        error = errors.get(index)
        if error is None:
            ended += [
                SettledOperation(
                    each,
                    written,
                    202,
                    response,
                    imbalance,
                    duration_ms,
                    figures or differences_of(each.operation, None, left_out, len(rows)),
                )
                for each in carried
            ]
        elif any(each.operation.call == Call.CREATE_OR_UPDATE_PROFILE for each in carried[1:]):
            coalesced += carried
        elif (
            error.code == CONFLICT_CODE
            and carried
            and carried[0].operation.call == Call.CREATE_OR_UPDATE_PROFILE
        ):
            conflicts += carried
        else:
            ended += [
                SettledOperation(each, "failed", 202, response, error.reason, duration_ms)
                for each in carried[:1]
            ]
            unattempted += carried[1:]
    return Settlement(
        ended,
        retries=[
            *single_retries(conflicts, "its identifiers belong to several profiles"),
            *single_retries(coalesced, "one of the updates that were sent as one was refused"),
        ],
        unattempted=unattempted,
        decision=None
        if imbalance is None
        else _imbalance_decision(operations, rows, job, len(errors), imbalance),
    )


def _imbalance_decision(
    operations: Sequence[StoredOperation], rows: Sequence[Row], job: JobEnd, failed: int, detail: str
) -> Decision:
    """Makes the audit entry of an imbalance for `askel doctor`; the rows without an error stay unconfirmed."""
    counted = job_difference(job.attributes, len(rows), failed)["answered"]
    accepted = len(rows)
    figures = {"job": job.job, "accepted": accepted, "failed": failed, "unconfirmed": accepted - failed}
    about = {**figures, "counted": counted, "detail": detail}
    return Decision(IMBALANCE_KIND, "askel", operations[0].connection, detail=about)
