"""How many examples Hypothesis tries: a quarter in `make test`, all in `make proofs`, many in `make long`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

_SHARES = {"quick": 0.25, "proofs": 1.0, "long": 20.0}
_USUAL = 100
_FEWEST = 10

_MEASURE_THE_MACHINE = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,
    HealthCheck.differing_executors,
)


def _counted(examples: int, profile: str) -> int:
    return max(_FEWEST, int(examples * _SHARES[profile]))


def register_profiles(*, derandomized: bool) -> None:
    """The profiles by name. Without deadlines and without checks of speed: both depend on the machine."""
    for name in _SHARES:
        settings.register_profile(
            name,
            max_examples=_counted(_USUAL, name),
            deadline=None,
            suppress_health_check=_MEASURE_THE_MACHINE,
            derandomize=derandomized or name == "quick",
            database=None,
        )


def examples(number: int, **more: Any) -> settings:
    """Settings of a test that wants so many examples in `make proofs`, and its share of them elsewhere."""
    return settings(max_examples=_counted(number, os.environ.get("TESTS_EXAMPLES", "quick")), **more)
