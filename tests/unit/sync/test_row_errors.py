"""Row errors of import jobs: every error is tied to its row, and figures that do not add up are noticed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.bulk import Row
from askel_tui.sync.settlement.row_errors import RowError, errors_by_row, find_imbalance
from tests.support.strategies import json_values


def _row(number: int) -> Row:
    who = Identity(f"p{number}@x.example", external_id=f"P-{number}")
    upsert = Operation(f"op{number}", "tier", "upsert_profile", Call.CREATE_OR_UPDATE_PROFILE, who)
    return Row((upsert,), b"{}")


ROWS = [_row(number) for number in range(4)]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (
            {
                "code": "invalid",
                "detail": "Bad",
                "source": {"pointer": "/data/attributes/profiles/data/2/attributes/email"},
            },
            {2: RowError("invalid", "Bad")},
        ),
        ({"title": "T", "original_payload": {"email": "P1@x.example"}}, {1: RowError("", "T")}),
        (
            {"original_payload": {"external_id": "P-3"}, "source": {"pointer": "/data"}},
            {3: RowError("", "the row was refused")},
        ),
        ({"source": {"pointer": "/data/attributes/profiles/data/9"}, "detail": "x"}, {}),
        ({"detail": "of nobody", "original_payload": None}, {}),
    ],
)
def test_an_error_is_tied_to_its_row(error: dict[str, Any], found: dict[int, RowError]) -> None:
    assert errors_by_row([error], ROWS) == found


@given(st.integers(0, 50), st.integers(0, 50))
def test_figures_that_add_up_are_in_order(written: int, failed: int) -> None:
    job = {"total_count": written + failed, "completed_count": written, "failed_count": failed}
    assert find_imbalance(job, written + failed, failed) is None
    # Klaviyo may count failed rows as completed ones.
    assert find_imbalance(job | {"completed_count": written + failed}, written + failed, failed) is None
    assert find_imbalance({"failed_count": failed}, written + failed, failed) is None


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50))
def test_figures_that_do_not_are_reported(written: int, failed: int, lost: int) -> None:
    accepted = written + failed + lost
    job = {"total_count": accepted, "completed_count": written, "failed_count": failed}
    message = find_imbalance(job, accepted, failed)
    assert message is not None
    assert str(accepted) in message
    assert find_imbalance(job | {"total_count": accepted - lost}, accepted, failed) is not None
    unnamed = {"total_count": accepted, "completed_count": accepted - lost, "failed_count": lost}
    assert find_imbalance(unnamed, accepted, lost - 1) is not None


@given(
    errors=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "source": json_values
                | st.fixed_dictionaries({"pointer": json_values | st.just("/data/²/7")}),
                "original_payload": json_values | st.fixed_dictionaries({"email": json_values}),
                "code": json_values,
                "detail": json_values,
            },
        ),
        max_size=4,
    )
)
def test_an_error_of_any_content_is_tied_to_a_row_or_to_none(errors: list[dict[str, Any]]) -> None:
    assert errors_by_row(errors, ROWS).keys() <= set(range(len(ROWS)))


@given(total=json_values, completed=json_values, failed=json_values)
def test_figures_that_are_no_numbers_do_not_add_up(total: Any, completed: Any, failed: Any) -> None:
    message = find_imbalance(
        {"total_count": total, "completed_count": completed, "failed_count": failed}, 3, 0
    )
    if not all(isinstance(each, int | None) for each in (total, completed, failed or 0)):
        assert message is not None
