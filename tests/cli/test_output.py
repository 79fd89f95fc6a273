"""What is written is aligned, inert and, as JSON, the same when read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.cli import output
from askel_tui.text.cells import cell_width

pytestmark = pytest.mark.clock

texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


@given(documents)
def test_a_cell_is_inert_whatever_it_holds(value: object) -> None:
    assert output.format_cell(value).isprintable()


def test_columns_stay_aligned_beside_wide_and_combining_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.put_table(("name", "id"), [("日本", "a"), ("Zoe\u0308", "b"), ("plain", "c")])
    lines = capsys.readouterr().out.splitlines()
    assert [cell_width(line[:-1]) for line in lines[1:]] == [7, 7, 7]


def test_numbers_go_right_and_words_left(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_table(("name", "count"), [("a", 5), ("b", 1200)])
    assert capsys.readouterr().out.splitlines() == ["name  count", "a         5", "b      1200"]


def test_escapes_and_line_breaks_of_data_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_table(("name",), [("\x1b[2Jowned\x07\nnext \u202e",)])
    output.put_message("\x1b]0;title\x07")
    written = capsys.readouterr()
    assert written.out.splitlines() == ["name", "␛[2Jowned␇ next <202e>"]
    assert written.err == "␛]0;title␇\n"


def test_a_table_without_rows_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_table(("name",), [])
    assert capsys.readouterr().out == ""


class Terminal:
    """Standard output as a terminal that takes ASCII only."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        text.encode("ascii")
        self.text += text

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("variables", "start"), [({}, "\x1b[1mname"), ({"NO_COLOR": "1"}, "name")])
def test_a_terminal_gets_tables_that_fit_and_colour_only_if_wanted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], start: str
) -> None:
    terminal = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"COLUMNS": "30", "TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", terminal)
    output.put_table(("name", "id"), [("x" * 100, "abc")])
    assert terminal.text.startswith(start)
    row = terminal.text.splitlines()[-1]
    # The ellipsis is one cell; a terminal without it gets its escape.
    assert row.replace("\\u2026", "…") == "x" * 24 + "…  abc"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal of 30 columns."""
    monkeypatch.setattr(output, "_terminal_columns", lambda: 30)


@pytest.mark.usefixtures("narrow")
def test_a_reason_that_does_not_fit_stands_whole_below_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    why = "the list Welcome Flow is gone from the account"
    output.put_table(("step", "why"), [("welcome", why), ("points", None)], keep_last_whole=True)
    assert capsys.readouterr().out.splitlines() == ["step", "welcome", f"    {why}", "points"]
    output.put_table(("step", "why"), [("welcome", "is gone")], keep_last_whole=True)
    assert capsys.readouterr().out.splitlines() == ["step     why", "welcome  is gone"]
    output.put_table(("step", "why"), [("welcome", why)])
    assert all(cell_width(line) <= 30 for line in capsys.readouterr().out.splitlines())


@pytest.mark.usefixtures("narrow")
def test_words_flow_onto_the_next_line_whole(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_wrapped(("2026-11-23 07:22Z", "written", "ada@example.com", "record r-1", "x" * 40))
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-23 07:22Z  written",
        "    ada@example.com",
        "    record r-1",
        f"    {'x' * 40}",
    ]


def test_words_stay_on_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.put_wrapped(("a" * 60, "b" * 60, ""))
    assert capsys.readouterr().out == f"{'a' * 60}  {'b' * 60}\n"
