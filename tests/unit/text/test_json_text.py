"""JSON for terminals reads back as it was and holds nothing that a terminal obeys."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.text.json_text import encode_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(DOCUMENTS)
def test_json_reads_back_and_holds_nothing_that_acts(document: object) -> None:
    line, indented = encode_json(document), encode_json(document, indent=2)
    assert json.loads(line) == json.loads(indented) == document
    assert line.isprintable()
    assert indented.replace("\n", "").isprintable()


def test_indented_json_holds_no_character_that_acts() -> None:
    text = encode_json({"name": "\x1b[2J\u202e\x07", "plain": "Zoë"}, indent=2)
    assert text == '{\n  "name": "\\u001b[2J\\u202e\\u0007",\n  "plain": "Zoë"\n}'
