"""What holds for every test: an environment of its own, how many examples Hypothesis tries, how many workers run."""

from __future__ import annotations

import os

# First of all: modules read the environment when they are imported.
from tests.support import environment

environment.isolate(os.environ)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.support.examples import register_profiles  # noqa: E402

EXAMPLES = "TESTS_EXAMPLES"
"""Names the profile: `quick` (without it), `proofs` or `long`."""


def pytest_configure(config: pytest.Config) -> None:
    """Loads the profile; xdist's workers get it by the environment."""
    register_profiles(derandomized=bool(os.environ.get("CI")))
    settings.load_profile(os.environ.get(EXAMPLES, "quick"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the folder of the run."""
    environment.clean_up()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a core for `-n auto`: many tests wait for a process, a moment or Klaviyo's limits."""
    return 2 * (os.cpu_count() or 1)
