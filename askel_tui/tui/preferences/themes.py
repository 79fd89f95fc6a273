"""Themes as YAML files: Askel's own in the package, and the user's in `themes/` of their config directory.

A file with a mistake does not keep the others from loading: its problem names file, line and a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.tui.preferences.config import read_yaml

if TYPE_CHECKING:
    from textual.theme import Theme

DEFAULT_THEME = "dark"

_COLOURS = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "success",
    "warning",
    "error",
    "boost",
)
_THEME_KEYS = ("name", "dark", "colours", "variables")


def builtin_directory() -> Path:
    """Returns the directory of Askel's own themes: in the package, or at the root of a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "themes"
    return inside if inside.is_dir() else package.parent / "themes"


def load_themes(directory: Path, only: str | None = None) -> tuple[list[Theme], list[Problem]]:
    """Loads the themes in a directory, by file name, and the problems of the others. Never raises.

    `only` reads one file, by its name without the ending.
    """
    themes: list[Theme] = []
    problems: list[Problem] = []
    try:
        files = sorted(directory.glob("*.yaml"))
    except OSError:
        files = []
    if only is not None:
        files = [file for file in files if file.stem == only]
    for file in files:
        made = _read_theme(file, problems)
        if made is not None:
            themes.append(made)
    return themes, problems


def _suggest_key(part: str) -> str | None:
    """Suggests a key for an unknown one; a colour belongs under `colours`."""
    colour = part if part in _COLOURS else did_you_mean(part, _COLOURS)
    return did_you_mean(part, _THEME_KEYS) or (f"colours: {colour}" if colour else None)


def _read_theme(file: Path, problems: list[Problem]) -> Theme | None:
    from textual.theme import Theme

    before = len(problems)
    values, lines = read_yaml(file, problems)
    problems += [
        Problem("is no part of a theme", part, None, str(file), lines.get(part), _suggest_key(part))
        for part in sorted(values.keys() - set(_THEME_KEYS))
    ]
    colours = values.get("colours", {})
    variables = values.get("variables", {})
    dark = values.get("dark", True)
    if not isinstance(colours, Mapping) or not isinstance(variables, Mapping) or not isinstance(dark, bool):
        problems.append(
            Problem("colours and variables are mappings, dark is true or false", file=str(file), line=1)
        )
        return None
    for name, colour in (*colours.items(), *variables.items()):
        message = _colour_problem(name, colour, known=name in _COLOURS or name in variables)
        if message:
            guess = did_you_mean(str(name), _COLOURS) if name in colours and name not in _COLOURS else None
            line = _line_of_key(file, str(name))
            problems.append(Problem(message, str(name), None, str(file), line, guess))
    if "primary" not in colours and len(problems) == before:
        problems.append(
            Problem("the colour primary is missing", "colours", None, str(file), lines.get("colours"))
        )
    if len(problems) > before:
        return None
    named = any(str(colour).startswith("ansi_") for colour in colours.values())
    parts: dict[str, Any] = {str(name): str(colour) for name, colour in colours.items()}
    return Theme(
        name=str(values.get("name", file.stem)),
        dark=dark,
        ansi=named,
        variables={str(name): str(colour) for name, colour in variables.items()},
        **parts,
    )


def _colour_problem(name: Any, colour: Any, *, known: bool) -> str | None:
    from textual.color import Color, ColorParseError

    if not known:
        return "is no colour of a theme"
    if not isinstance(colour, str):
        return "must be a colour in quotes, such as '#7fb2e5'"
    try:
        Color.parse(colour)
    except ColorParseError:
        # Variables may hold styles ("bold") as well as colours.
        if colour.startswith(("#", "ansi_")) or not re.fullmatch(r"[a-z0-9 %$-]+", colour):
            return f"{colour!r} is no colour, such as '#7fb2e5'"
        return None if name not in _COLOURS else f"{colour!r} is no colour, such as '#7fb2e5'"
    return None


def _line_of_key(file: Path, key: str) -> int | None:
    for number, line in enumerate(file.read_text("utf-8-sig").splitlines(), 1):
        if line.strip().startswith(f"{key}:"):
            return number
    return None
