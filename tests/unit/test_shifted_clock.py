"""The clock that `make proofs` shifts: `time` and `datetime` agree about the day, and spans stay spans."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from tests.support.environment import SHIFT_DAYS
from tests.support.files import ROOT
from tests.support.processes import run_python

DAY_S = 86_400

SAID = """
import datetime, time
moment = datetime.datetime.now(datetime.UTC)
print(time.time(), time.time_ns() / 1e9, moment.timestamp(), isinstance(moment, datetime.datetime), time.gmtime()[0])
"""


def test_every_word_for_now_is_shifted() -> None:
    path = str(ROOT / "tests" / "support" / "shifted_clock")
    already = float(os.environ.get(SHIFT_DAYS, 0)) if path in os.environ.get("PYTHONPATH", "") else 0
    said = run_python(SAID, env={**os.environ, "PYTHONPATH": path, SHIFT_DAYS: "400"}).split()
    wanted = time.time() + (400 - already) * DAY_S
    assert all(abs(float(word) - wanted) < 3_600 for word in said[:3])
    assert said[3:] == ["True", str(datetime.fromtimestamp(wanted, UTC).year)]
