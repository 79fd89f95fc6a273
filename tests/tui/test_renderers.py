"""What draws entries, rows of the tail, facts and commands: nothing in it acts, whatever it holds."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style

from askel_tui.store.journal.rows import AuditEntry
from askel_tui.store.journal.tables.audit.tail import ENTRY_STATUSES, TailRow
from askel_tui.text.json_text import encode_json
from askel_tui.tui.screens.live import entry_detail
from askel_tui.tui.screens.live.columns import LinePainter, column_widths
from askel_tui.tui.text.curl import curl_command
from askel_tui.tui.widgets import detail_pane
from tests.unit.text.test_sanitizing import HOSTILE, JSON, acts

pytestmark = pytest.mark.clock

MAYBE = st.one_of(st.none(), HOSTILE)
COUNT = st.integers(0, 10**12)
STATUS = st.one_of(st.sampled_from(ENTRY_STATUSES), HOSTILE)
OBJECT = st.one_of(st.none(), st.dictionaries(HOSTILE, JSON, max_size=3))
ANSWER = st.one_of(
    OBJECT, st.fixed_dictionaries({"status": JSON, "detail": JSON, "differences": JSON, "body": JSON})
)
REQUEST = st.one_of(OBJECT, st.fixed_dictionaries({"method": JSON, "path": JSON, "body": JSON}))
TEXT = st.one_of(
    MAYBE,
    JSON.map(json.dumps),
    st.dictionaries(st.sampled_from(("email", "name", "detail", "differences")), JSON).map(json.dumps),
)
"""JSON as a row of the tail holds it: maybe cut, or of another shape than expected."""

ENTRIES = st.builds(
    AuditEntry, seq=COUNT, at=COUNT, actor=HOSTILE, connection=MAYBE, workflow=MAYBE, step=MAYBE, record=MAYBE,
    operation=MAYBE, kind=HOSTILE, profile=st.one_of(st.none(), st.dictionaries(HOSTILE, HOSTILE, max_size=3)),
    target=OBJECT, request=REQUEST, status=STATUS, response=ANSWER, attempts=st.integers(0, 9),
    ms=st.one_of(st.none(), COUNT), revision=MAYBE, key=MAYBE, prev=HOSTILE, hash=HOSTILE,
)  # fmt: skip
ROWS = st.builds(
    TailRow, seq=COUNT, at=COUNT, actor=HOSTILE, connection=MAYBE, workflow=MAYBE, step=MAYBE, record=MAYBE,
    kind=HOSTILE, status=STATUS, profile_json=TEXT, target_json=TEXT, ms=st.one_of(st.none(), COUNT),
    response_json=TEXT,
)  # fmt: skip


@given(ENTRIES, st.lists(ROWS, max_size=3))
def test_any_entry_is_shown_inert(entry: AuditEntry, life: list[TailRow]) -> None:
    """With all that became of its record."""
    assert acts(entry_detail.entry_content(entry, life).plain.replace("\n", "")) == []


@given(ROWS, st.integers(40, 240))
def test_any_row_of_the_tail_has_its_width(row: TailRow, width: int) -> None:
    """However wide its characters are."""
    styles = dict.fromkeys(("good", "doubt", "bad", "muted", "text", "cursor", "blurred"), Style())
    segments = LinePainter(styles, column_widths(width)).paint(row)
    assert Segment.get_line_length(segments) == width
    assert acts("".join(segment.text for segment in segments)) == []


@given(HOSTILE, st.lists(st.tuples(HOSTILE, HOSTILE), max_size=4), HOSTILE)
def test_any_facts_are_shown_inert(title: str, lines: list[detail_pane.DetailLine], text: str) -> None:
    """Title, labels, values and the text below."""
    assert acts(detail_pane.detail_content(title, lines, text).plain.replace("\n", "")) == []


@given(JSON, HOSTILE)
def test_a_copied_command_is_one_command_with_that_body(body: Any, path: str) -> None:
    """No value ends the quotes, and the key is a variable."""
    text = curl_command("POST", path.replace("\x00", ""), body, "2026-07-15", "https://a.klaviyo.com")
    words = shlex.split(text)
    assert words[:3] == ["curl", "--request", "POST"]
    assert words.count("--header") == text.count("\n  --header ") >= 3
    assert "Authorization: Klaviyo-API-Key $KLAVIYO_API_KEY" in words
    if body is not None:
        assert words[-2] == "--data-binary"
        assert json.dumps(json.loads(words[-1])) == json.dumps(body)


@given(JSON)
def test_copied_json_is_that_value_and_acts_on_nothing(value: Any) -> None:
    """It is pasted into terminals too."""
    text = encode_json(value)
    assert acts(text.replace("\n", "")) == []
    assert json.dumps(json.loads(text)) == json.dumps(value)
