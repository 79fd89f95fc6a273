"""The fields of records, as the workflow editor maps them: samples, proposals, completions. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.catalog import Catalog
from askel_tui.text.cells import truncate
from askel_tui.text.json_text import format_value
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft
from askel_tui.tui.widgets.choice import Choice
from askel_tui.tui.widgets.rows import Row

PHONE = re.compile(r"\+[1-9]\d{6,14}")
"""A pattern of phone numbers in E.164."""

MAX_FIELDS = 500

MAX_DEPTH = 8
"""The number of levels of nested objects that are fields of their own."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_TOKEN = re.compile(r"[A-Za-z_][\w.]*$")

ATTRIBUTE_SYNONYMS = {
    "first_name": ("firstname", "givenname", "forename"),
    "last_name": ("lastname", "surname", "familyname"),
    "organization": ("organization", "organisation", "company"),
    "title": ("jobtitle",),
    "image": ("image", "avatar"),
    "locale": ("locale",),
    "location.city": ("city", "town"),
    "location.country": ("country",),
    "location.zip": ("zip", "postcode", "postalcode"),
}

FUNCTION_HINTS = {
    "title": "title(…)  First Letters Large",
    "lower": "lower(…)",
    "upper": "upper(…)",
    "trim": "trim(…)",
    "concat": "concat(a, b, …)  joined",
    "coalesce": "coalesce(a, b, …)  the first there is",
    "number": "number(…)",
    "text": "text(…)",
    "date": "date(…)  RFC 3339, UTC",
    "e164": "e164(phone, 'GB')  +44…",
    "length": "length(…)",
    "join": "join(', ', list)",
    "contains": "contains(list, value)",
}


@dataclass(frozen=True, slots=True)
class RecordField:
    """A field of the records: its path as an expression, and a sample value."""

    path: str
    sample: Any
    record_count: int

    @property
    def leaf(self) -> str:
        """The last name of the path."""
        return self.path.rpartition(".")[2].strip('"')


def record_fields(records: Sequence[Mapping[str, Any]]) -> list[RecordField]:
    """Collects the fields of records (newest first), in their order, each with its newest sample that is not null."""
    found: dict[str, tuple[Any, int]] = {}

    def walk(value: Any, path: str, level: int) -> None:
        if isinstance(value, Mapping) and value and level < MAX_DEPTH:
            for name, inner in value.items():
                part = name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)
                walk(inner, f"{path}.{part}" if path else part, level + 1)
            return
        if path in found or len(found) < MAX_FIELDS:
            before, count = found.get(path, (None, 0))
            found[path] = (value if before is None else before, count + 1)

    for record in records:
        walk(record, "", 0)
    return [RecordField(path, sample, seen) for path, (sample, seen) in found.items()]


def fullest_record(records: Sequence[Mapping[str, Any]]) -> int:
    """Finds the index of the record with most fields filled, the newest of those: it shows most of what can be
    mapped."""

    def filled(value: Any, level: int = 0) -> int:
        if isinstance(value, Mapping) and level < MAX_DEPTH:
            return sum(filled(inner, level + 1) for inner in value.values())
        return value not in (None, "")

    counts = [filled(each) for each in records]
    return counts.index(max(counts)) if counts else 0


def field_rows(found: Iterable[RecordField], total: int) -> list[Row]:
    """Makes the table's rows of fields, each with the share of records that have it."""
    ordered = sorted(found, key=lambda each: not each.path.startswith("data."))
    return [
        (
            each.path,
            (_short(each.path), format_value(each.sample), f"{each.record_count * 100 // max(1, total)}%"),
        )
        for each in ordered
    ]


def _short(path: str) -> str:
    """Shortens a path by `data.`, with which nearly all begin; the record's own fields stand in parentheses."""
    return path.removeprefix("data.") if path.startswith("data.") else f"({path})"


def suggest_mappings(
    found: Sequence[RecordField], catalog: Catalog | None, draft: Draft
) -> list[tuple[str, str]]:
    """Proposes mappings for the profile: (name of the profile's field, expression), best first.

    From names (`tier` → `LoyaltyTier`) and samples: where the account's values begin with capitals, so do ours.
    """
    written = {name for step in draft.steps if step.kind == "upsert_profile" for name in step.fields}
    offers: list[tuple[int, str, str]] = []
    for source in found:
        if not source.path.startswith("data."):
            continue
        flat = "".join(_name_words(source.leaf))
        for name, known in ATTRIBUTE_SYNONYMS.items():
            if flat in known and name not in written:
                offers.append((0, name, source.path))
        for entry in catalog.properties if catalog else ():
            if PROPERTY_PREFIX + entry.name in written:
                continue
            have, want = _name_words(source.leaf), _name_words(entry.name)
            if have and (have == want or set(have) <= set(want)):
                offers.append(
                    (
                        len(want) - len(have) + 1,
                        PROPERTY_PREFIX + entry.name,
                        _match_capitals(source, entry.samples),
                    )
                )
    best: dict[str, str] = {}
    for _, name, text in sorted(offers, key=lambda each: each[0]):
        best.setdefault(name, text)
    return list(best.items())


def likely_field(name: str, found: Sequence[RecordField]) -> str:
    """Finds the field that most likely fills a property that is new to the account: `points` for `LoyaltyPoints`;
    else ""."""
    want = _name_words(name)
    fitting = [
        each
        for each in found
        if each.path.startswith("data.")
        and _name_words(each.leaf)
        and set(_name_words(each.leaf)) <= set(want)
    ]
    return max(fitting, key=lambda each: len(_name_words(each.leaf))).path if fitting else ""


def guess_identifiers(found: Sequence[RecordField]) -> dict[str, str]:
    """Guesses identifiers, with the expressions that may give them, from names and samples."""
    guesses: dict[str, str] = {}
    for source in found:
        flat, sample = "".join(_name_words(source.leaf)), source.sample
        if not isinstance(sample, str) or not source.path.startswith("data."):
            continue
        if flat in ("email", "emailaddress") or (flat == "mail" and "@" in sample):
            guesses.setdefault("email", source.path)
        elif flat in ("phone", "phonenumber", "mobile", "msisdn"):
            guesses.setdefault(
                "phone_number", source.path if PHONE.fullmatch(sample) else f"e164({source.path}, 'GB')"
            )
    person = guesses.get("email", "").rpartition(".")[0]
    record_id = next((each for each in found if person and each.path == f"{person}.id"), None)
    if record_id is not None:
        guesses["external_id"] = (
            record_id.path if isinstance(record_id.sample, str) else f"text({record_id.path})"
        )
    return guesses


def _name_words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _match_capitals(source: RecordField, samples: Sequence[str]) -> str:
    """Makes the expression of a field: `title(…)` around the path where the account's samples begin with capitals and
    the field's do not."""
    texts = [each.strip('"') for each in samples]
    capital = bool(texts) and all(each[:1].isupper() and each[1:].islower() for each in texts)
    mine = source.sample
    return f"title({source.path})" if capital and isinstance(mine, str) and mine.islower() else source.path


def complete_expression(text: str, found: Sequence[RecordField]) -> list[Choice]:
    """Lists completions of the word at the end of an expression; each is a whole new text."""
    match = _TOKEN.search(text)
    token = match.group() if match else ""
    before = text[: len(text) - len(token)]
    folded = token.casefold()
    fields = [
        Choice(before + each.path, each.path, truncate(format_value(each.sample), 40))
        for each in found
        if folded in each.path.casefold() and each.path != token
    ]
    fields.sort(key=lambda each: not each.title.casefold().startswith(folded))
    functions = [
        Choice(f"{before}{name}(", name, about)
        for name, about in FUNCTION_HINTS.items()
        if token and name.startswith(folded) and not text.endswith(f"{name}(")
    ]
    return [*functions, *fields][:50]
