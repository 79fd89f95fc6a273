"""Lines of the tail: what is cut by the short way is what Textual would have cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from askel_tui.tui.screens.live.lines import LineFrame, TailLine

pytestmark = pytest.mark.clock

LEFT, CONTENT, RIGHT = 2, 20, 3
WIDTH = LEFT + CONTENT + RIGHT
BORDER, TEXT = Style(color="red"), Style(bold=True)


def framed(content: list[Segment]) -> Strip:
    return Strip([Segment("│ ", BORDER), *content, Segment("  ", TEXT), Segment("│", BORDER)], WIDTH)


def shown(strip: Strip) -> list[tuple[str, Style | None]]:
    """The characters with their styles, however they are parted into segments."""
    return [(char, style) for text, style, _ in strip for char in text]


@given(
    st.text(st.sampled_from("ab ·"), min_size=CONTENT, max_size=CONTENT),
    st.lists(st.integers(1, WIDTH), min_size=1, max_size=4, unique=True).map(sorted),
)
def test_a_line_is_cut_as_any_strip_is(text: str, cuts: list[int]) -> None:
    content = [Segment(text[:7], BORDER), Segment(text[7:], TEXT)]
    frame = LineFrame(framed([Segment(" " * CONTENT, TEXT)]), LEFT, CONTENT)
    line, strip = TailLine(content, frame), framed(content)
    assert shown(line) == shown(strip)
    for _ in range(2):
        assert [shown(part) for part in line.divide(cuts)] == [shown(part) for part in strip.divide(cuts)]
        assert [part.cell_length for part in line.divide(cuts)] == [
            part.cell_length for part in strip.divide(cuts)
        ]
