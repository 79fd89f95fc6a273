"""Phone numbers: their international form, and what speaks against them. Pure."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

PhoneObjection = Literal["placeholder_phone", "unknown_phone"]
"""Why a number in international form may be nobody's: it is a placeholder, or in no range that is known."""

_ASCENDING, _DESCENDING = "1234567890123", "9876543210"
_PLACEHOLDER_ZEROS = "0" * 7
MIN_PLACEHOLDER_DIGITS = 7
"""The number of digits from which on a number is long enough to be told from a placeholder; small countries have
shorter ones."""


class PhoneNumber(NamedTuple):
    """A number in international form, and what speaks against it."""

    number: str
    objection: PhoneObjection | None = None


class NotAPhoneNumber(ValueError):
    """A text that no phone number can be read from; the message is for people."""


def is_known_region(region: str) -> bool:
    """Checks whether the region (two letters of ISO 3166) has known phone numbers."""
    # Imported late: it loads metadata that most commands don't need.
    import phonenumbers

    return region.upper() in phonenumbers.SUPPORTED_REGIONS


@functools.lru_cache(maxsize=8192)
def read_phone_number(text: str, region: str) -> PhoneNumber:
    """Normalizes a phone number to E.164. Raises `NotAPhoneNumber` where its length or country is impossible.

    It need not be assigned: ranges are opened and reserved (for films, for tests) faster than metadata follows, and
    Klaviyo decides anyway.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise NotAPhoneNumber("no country has the code of the phone number") from None
        raise NotAPhoneNumber(f"not a phone number in {region}") from None
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise NotAPhoneNumber(f"not a phone number in {region}")
    written = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    if is_placeholder(phonenumbers.national_significant_number(number)):
        return PhoneNumber(written, "placeholder_phone")
    return PhoneNumber(written, None if phonenumbers.is_valid_number(number) else "unknown_phone")


def is_placeholder(national: str) -> bool:
    """Checks whether a number without its country's code is what people type where they have none: one digit again
    and again, digits in their order, or nothing but zeros after the area's code."""
    digits = national.lstrip("0")
    if len(national) < MIN_PLACEHOLDER_DIGITS:
        return False
    in_order = len(digits) >= MIN_PLACEHOLDER_DIGITS and (
        _ASCENDING.startswith(digits) or _DESCENDING.startswith(digits)
    )
    return len(set(digits)) < 2 or in_order or national.endswith(_PLACEHOLDER_ZEROS)
