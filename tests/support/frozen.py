"""A day that is always the same: pictures taken on different days are the same picture."""

from __future__ import annotations

import time

import pytest

BEGIN_S = 1_795_426_800
"""2026-11-23T09:40:00Z, in seconds since 1970."""


def begin_there(patch: pytest.MonkeyPatch) -> None:
    """Makes it that moment now, for the sandbox as well. Time goes on from there: budgets wait for it."""
    wall, ahead = time.time_ns, BEGIN_S * 1_000_000_000 - time.time_ns()
    patch.setattr(time, "time_ns", lambda: wall() + ahead)
    patch.setattr(time, "time", lambda: (wall() + ahead) / 1_000_000_000)
