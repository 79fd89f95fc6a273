"""Row errors of import jobs: finds the rows that failed and the reasons, and checks whether a job's figures add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.operations import IDENTIFIERS, Identity
from askel_tui.core.requests.bulk import Row, row_index_of
from askel_tui.core.requests.differences import Difference

CONFLICT_CODE = "duplicate_profile"
"""The code of a row whose identifiers belong to several profiles (docs/klaviyo.md 4)."""


@dataclass(frozen=True, slots=True)
class RowError:
    """The reason why a row failed: Klaviyo's code, and its words for people."""

    code: str
    reason: str


def errors_by_row(errors: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> dict[int, RowError]:
    """Finds the rows that failed and the reasons: by the index in the error's pointer, else by its original payload."""
    if not errors:
        return {}
    row_of_key = {
        key: index
        for index, row in enumerate(rows)
        for operation in row.operations[:1]
        for key in operation.profile.keys()
    }
    found: dict[int, RowError] = {}
    for error in errors:
        index = row_index_of(str(_mapping(error.get("source")).get("pointer") or ""))
        if index is None or index >= len(rows):
            payload = _mapping(error.get("original_payload"))
            named = {name: payload[name] for name in IDENTIFIERS if isinstance(payload.get(name), str)}
            identity = Identity(**named)
            index = next((row_of_key[key] for key in identity.keys() if key in row_of_key), None)
        if index is not None:
            reason = str(error.get("detail") or error.get("title") or "the row was refused")
            found[index] = RowError(str(error.get("code") or ""), reason)
    return found


def find_imbalance(job: Mapping[str, Any], accepted: int, named: int) -> str | None:
    """Describes what does not add up in the figures of a job that ended; None where all does.

    Of `accepted` rows each has to be written or failed, and each failed one named by an error (`named` are).
    Klaviyo does not say whether `completed_count` holds the failed ones too: both are taken.
    """
    failed = job.get("failed_count") or 0
    completed, total = job.get("completed_count"), job.get("total_count")
    if not all(isinstance(each, int | None) for each in (failed, completed, total)):
        return f"the counts of the job are no numbers: {completed} complete, {failed} failed of {total}"
    if total is not None and total != accepted:
        return f"{accepted} rows were accepted, and the job counts {total}"
    if completed is not None and accepted not in (completed, completed + failed):
        return f"of {accepted} accepted rows {completed} are complete and {failed} failed"
    if named < failed:
        return f"{failed} of {accepted} rows failed, and only {named} of them are named"
    return None


def job_difference(job: Mapping[str, Any], accepted: int, named: int) -> Difference:
    """Makes the difference of an imbalance: the rows that were accepted and the failed ones that are named, beside
    the job's own figures."""
    counted = {name: job.get(name) for name in ("total_count", "completed_count", "failed_count")}
    return {"field": "rows", "sent": {"accepted": accepted, "named": named}, "answered": counted}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
