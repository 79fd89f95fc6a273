"""Names that are nearly another one, and expressions that stand where a name is meant. Pure.

Klaviyo makes a metric or property of any name that it is sent, so a slip of the pen makes a second one without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from askel_tui.core.expressions.functions import CUSTOM_FUNCTIONS
from askel_tui.core.records.record import OWN_FIELDS

MIN_COMPARED_LETTERS = 4
"""The number of characters from which on names that differ in one letter are taken for a slip."""

_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_EXPRESSION = re.compile(rf"\s*(?:data\.|record\.|(?:{'|'.join(CUSTOM_FUNCTIONS)})\s*\()")
_FIELDS = frozenset(OWN_FIELDS) - {"data"}


def find_near_name(name: str, existing: Iterable[str]) -> str | None:
    """Finds an existing name from which `name` differs only in case, in blanks, or in one letter; None where it exists
    itself."""
    known = dict.fromkeys(existing)
    if name in known:
        return None
    squeezed = _squeeze(name)
    alike = [each for each in known if _squeeze(each) == squeezed]
    alike += [each for each in known if _differ_in_one_letter(name.lower(), each.lower())]
    return alike[0] if alike else None


def _squeeze(name: str) -> str:
    return _BETWEEN_WORDS.sub("", name).casefold()


def _differ_in_one_letter(one: str, other: str) -> bool:
    """Checks whether one letter was left out, put in or changed, or two that stand together were swapped.

    Digits are no letters: they tell names apart on purpose.
    """
    shorter, longer = sorted((one, other), key=len)
    if len(longer) - len(shorter) > 1 or len(shorter) < MIN_COMPARED_LETTERS or one == other:
        return False
    start = next((at for at, char in enumerate(shorter) if char != longer[at]), len(shorter))
    rest, other_rest = shorter[start:], longer[start:]
    if len(shorter) < len(longer):
        return rest == other_rest[1:] and other_rest[0].isalpha()
    if rest[1:] == other_rest[1:]:
        return rest[0].isalpha() and other_rest[0].isalpha()
    swapped = rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]
    return swapped and rest[:2].isalpha()


def describe_expression(name: str, *, fields: bool = True) -> str | None:
    """Describes why a name looks like an expression that was meant to be evaluated; None where it does not.

    With `fields` also the names of a record's own fields do.
    """
    if _EXPRESSION.match(name):
        return f"{name!r} looks like an expression, and a name stands here"
    if fields and name.strip() in _FIELDS:
        return f"{name!r} is a field of the record, and a name stands here"
    return None
