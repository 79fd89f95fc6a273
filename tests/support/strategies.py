"""Hypothesis strategies for what request bodies are built from."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from askel_tui.contract.caps import LOCATION, standard_attributes
from askel_tui.contract.endpoints import SELECTABLE

if TYPE_CHECKING:
    pass

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
ids = st.from_regex(r"01[0-9A-HJKMNP-TV-Z]{24}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
properties = st.dictionaries(names, json_values, max_size=4)
times = st.datetimes(datetime(2002, 1, 1), datetime(2026, 11, 23)).map(
    lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}Z"
)
emails = st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True)
phones = st.from_regex(r"\+[1-9][0-9]{9}", fullmatch=True)
revisions = st.sampled_from(SELECTABLE)


identifiers = st.fixed_dictionaries(
    {}, optional={"email": emails, "phone_number": phones, "external_id": names}
).filter(bool)


def attributes(revision: str, *, clearing: bool) -> st.SearchStrategy[dict[str, Any]]:
    value = texts | st.none() if clearing else texts
    coordinate = value | st.floats(-90, 90)
    top = {name: value for name in standard_attributes(revision) if "." not in name}
    fields = {name: coordinate if name in ("latitude", "longitude") else value for name in LOCATION}
    location = st.fixed_dictionaries({}, optional=fields)
    return st.fixed_dictionaries({}, optional={**top, "location": location})
