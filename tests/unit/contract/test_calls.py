"""The enum of calls agrees with the contract data."""

from __future__ import annotations

from askel_tui.contract.calls import Call
from askel_tui.contract.endpoints import NEWEST, published_endpoints


def test_every_call_is_an_operation_of_the_newest_revision() -> None:
    assert set(Call) <= published_endpoints(NEWEST).keys()
