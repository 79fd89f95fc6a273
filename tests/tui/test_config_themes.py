"""The user's own settings and themes: what is wrong with them is said by file and line, and the rest holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from askel_tui.tui.preferences import config, themes

GOOD = "name: mine\ndark: true\ncolours: {primary: '#112233'}\n"


def message(problems: Any) -> list[str]:
    return [str(problem) for problem in problems]


def test_without_files_everything_has_its_default(tmp_path: Path) -> None:
    assert config.load_config(tmp_path) == config.Config()


def test_settings_and_keys_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("theme: light\nclipboard: osc52\nkeymap:\n  app.live: f6\n")
    (tmp_path / "keymap.yaml").write_text("app.quit: ctrl+x\nscreen.back: 9\n")
    found = config.load_config(tmp_path)
    assert (found.theme, found.clipboard, found.problems) == ("light", "osc52", ())
    assert found.keymap == {"app.live": "f6", "app.quit": "ctrl+x", "screen.back": "9"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theme: dark\nclipbord: auto\n", ("config.yaml:2", "clipbord", "clipboard")),
        ("clipboard: nativ\n", ("config.yaml:1", "native")),
        ("theme: [a]\n", ("config.yaml:1", "theme", "a word")),
        ("theme: dark\n  bad: : x\n", ("config.yaml:2", "YAML")),
        ("- a\n", ("config.yaml:1", "name: value")),
        ("keymap:\n  app.live: [a]\n", ("app.live", "keys")),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "config.yaml").write_text(text)
    problems = message(config.load_config(tmp_path).problems)
    assert len(problems) == 1
    assert all(word in problems[0] for word in words), problems


def test_our_own_themes_are_found_and_whole() -> None:
    found, problems = themes.load_themes(themes.builtin_directory())
    assert problems == []
    assert {theme.name for theme in found} >= {"dark", "light", "high-contrast", "colour-blind-safe", "ansi"}


def test_a_wrong_theme_sinks_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("name: b\ncolours:\n  primary: '#112233'\n  acent: '#000000'\n")
    (tmp_path / "c.yaml").write_text("name: c\ncolours:\n  primary: '#11223'\n")
    (tmp_path / "d.yaml").write_text("{\n")
    found, problems = themes.load_themes(tmp_path)
    assert [theme.name for theme in found] == ["mine"]
    assert "b.yaml:4" in message(problems)[0]
    assert "accent" in message(problems)[0]
    assert "c.yaml:3" in message(problems)[1]
    assert "d.yaml" in message(problems)[2]
