"""What holds for every test: an environment of its own, and how many examples Hypothesis tries."""

from __future__ import annotations

import os

# First of all: modules read the environment when they are imported.
from tests.support import environment

environment.isolate(os.environ)

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

_QUIET = tuple(check for check in HealthCheck if check is not HealthCheck.filter_too_much)
"""Health checks that measure the machine, or dislike fixtures of one function."""

for name, share in {"quick": 20, "proofs": 100, "long": 2000}.items():
    settings.register_profile(
        name,
        max_examples=share,
        deadline=None,
        suppress_health_check=_QUIET,
        derandomize=name == "quick" or bool(os.environ.get("CI")),
        database=None,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Loads the profile; xdist's workers get it by the environment."""
    settings.load_profile(os.environ.get("TESTS_EXAMPLES", "quick"))
    environment.prepare()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what `prepare` made."""
    environment.clean_up()
