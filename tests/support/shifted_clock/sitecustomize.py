"""Shifts the wall clock of a Python process by TESTS_CLOCK_SHIFT_DAYS; loaded at its start, from PYTHONPATH.

What measures spans (`time.monotonic`) and what the operating system says (times of files) stay as they are.
"""

from __future__ import annotations

import datetime
import os
import time
from typing import Any

_DAY_S = 86_400


def shift(days: float) -> None:
    """Moves now, for `time` and `datetime`, by so many days."""
    real_time, real_time_ns = time.time, time.time_ns
    ahead_s = int(days * _DAY_S)

    def of_now(convert: Any) -> Any:
        return lambda at=None: convert(time.time() if at is None else at)

    def strftime(form: str, at: Any = None) -> str:
        return real_strftime(form, time.localtime() if at is None else at)

    real_strftime = time.strftime
    time.time = lambda: real_time() + ahead_s
    time.time_ns = lambda: real_time_ns() + ahead_s * 1_000_000_000
    time.gmtime, time.localtime, time.ctime = map(of_now, (time.gmtime, time.localtime, time.ctime))
    time.strftime = strftime
    datetime.datetime = _shifted_datetime()  # type: ignore[misc]


def _shifted_datetime() -> type[datetime.datetime]:
    real = datetime.datetime

    class Meta(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real)

    class ShiftedDatetime(real, metaclass=Meta):  # type: ignore[valid-type, misc]
        def __new__(cls, *parts: Any, **named: Any) -> Any:
            return real(*parts, **named)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.fromtimestamp(time.time(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    ShiftedDatetime.__name__ = ShiftedDatetime.__qualname__ = "datetime"
    return ShiftedDatetime


if os.environ.get("TESTS_CLOCK_SHIFT_DAYS"):
    shift(float(os.environ["TESTS_CLOCK_SHIFT_DAYS"]))
