"""Numbers that remember how they were written, so that a code such as `12E3` or `1.10` can be had back. Pure."""

from __future__ import annotations

import json
from typing import Any


class WrittenNumber(float):
    """A number whose text is not the one that Python would write: `90.750`, `1.10`, `12E3`.

    It counts and compares as the number; `text` is what was written.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> WrittenNumber:
        """Makes a number of its text. Raises `ValueError` for a text that is no number."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        """Returns the arguments that pickle makes the number of."""
        return (self.text,)


# JMESPath tells a value's type by the name of its class.
WrittenNumber.__name__ = float.__name__


def read_float(text: str) -> float:
    """Reads a number with a fraction or an exponent; the text is kept where it can't be told from the number.

    Too large a number is an infinity. Raises `ValueError` for a text that is no number.
    """
    number = float(text)
    # Encoders of JSON write exponents in several ways.
    return number if repr(number) == text and "e" not in text else WrittenNumber(text)


def scalar_text(value: str | float) -> str:
    """Returns the text of a text, number or boolean, as it was written."""
    if isinstance(value, str):
        return value
    return value.text if isinstance(value, WrittenNumber) else json.dumps(value)


def is_number(value: Any) -> bool:
    """Checks whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
