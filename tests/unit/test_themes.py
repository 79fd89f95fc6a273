"""Themes: every file is whole, can be read by everybody it is for, and becomes a theme of the console."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.files import ROOT

FILES = sorted((ROOT / "themes").iterdir())
COLOURS = {
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
}
GROUNDS = ("background", "surface", "panel")
INKS = sorted(COLOURS - set(GROUNDS))
NAMED = "ansi"
RATIOS = {"high-contrast": 7.0}
"""The contrast that text has, by theme; 4.5 elsewhere (WCAG 2.2: 1.4.3 and 1.4.6)."""

Rgb = tuple[float, float, float]


def load(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


THEMES = {path.stem: load(path) for path in FILES}
MIXED = [name for name in THEMES if name != NAMED]


def rgb(colour: str) -> Rgb:
    """The linear parts of a colour such as #7fb2e5, each from 0 to 1."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return red, green, blue


def luminance(colour: str) -> float:
    red, green, blue = rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_ruler_is_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_there_are_five_themes() -> None:
    assert THEMES.keys() == {"dark", "light", "high-contrast", "colour-blind-safe", "ansi"}
    assert all(path.suffix == ".yaml" for path in FILES)


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_has_every_key_and_no_other(name: str) -> None:
    theme = THEMES[name]
    assert theme.keys() == {"name", "dark", "colours", "variables"}
    assert theme["name"] == name
    assert isinstance(theme["dark"], bool)
    assert theme["colours"].keys() == COLOURS
    assert theme["variables"].keys() >= THEMES["dark"]["variables"].keys()
    pattern = r"ansi_[a-z_]+" if name == NAMED else r"#[0-9a-f]{6}"
    for colour in (*theme["colours"].values(), *theme["variables"].values()):
        assert re.fullmatch(pattern, colour)


@pytest.mark.parametrize("name", THEMES)
def test_the_console_can_use_it(name: str) -> None:
    from textual.color import Color
    from textual.theme import Theme

    theme = THEMES[name]
    made = Theme(
        name=name,
        dark=theme["dark"],
        ansi=name == NAMED,
        variables=theme["variables"],
        **theme["colours"],
    )
    known = made.to_color_system().generate()
    for part in INKS:
        given, made_of_it = Color.parse(theme["colours"][part]), Color.parse(known[part])
        # Textual takes colours through another space and may round a part down by one.
        assert all(abs(a - b) <= 1 for a, b in zip(given.rgb, made_of_it.rgb, strict=True))
        assert given.ansi == made_of_it.ansi
    # A variable that the console does not know would be a typing error without any effect.
    assert theme["variables"].keys() - {"ansi-background"} <= known.keys()


@pytest.mark.parametrize("name", MIXED)
def test_text_can_be_read_on_every_ground(name: str) -> None:
    colours, variables = THEMES[name]["colours"], THEMES[name]["variables"]
    inks = {**{ink: colours[ink] for ink in INKS}, "foreground-muted": variables["foreground-muted"]}
    weak = {
        (ink, ground): round(contrast(inks[ink], colours[ground]), 2)
        for ink in inks
        for ground in GROUNDS
        if contrast(inks[ink], colours[ground]) < RATIOS.get(name, 4.5)
    }
    assert weak == {}


@pytest.mark.parametrize("name", MIXED)
def test_what_stands_on_a_ground_of_its_own_can_be_read(name: str) -> None:
    variables = THEMES[name]["variables"]
    least = RATIOS.get(name, 4.5)
    for part in ("block-cursor", "input-cursor", "input-selection", "footer"):
        found = contrast(variables[f"{part}-foreground"], variables[f"{part}-background"])
        assert found >= least, part
    assert contrast(variables["footer-key-foreground"], variables["footer-background"]) >= least


@pytest.mark.parametrize("name", MIXED)
def test_the_frame_of_what_has_the_focus_stands_out(name: str) -> None:
    colours, variables = THEMES[name]["colours"], THEMES[name]["variables"]
    assert all(contrast(variables["border"], colours[ground]) >= 3 for ground in GROUNDS)
    assert contrast(variables["border"], variables["border-blurred"]) >= 2


@pytest.mark.parametrize("name", MIXED)
def test_a_theme_is_as_dark_as_it_says(name: str) -> None:
    theme = THEMES[name]
    assert (luminance(theme["colours"]["background"]) < 0.5) == theme["dark"]


BLINDNESS = {
    "deuteranopia": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
    "protanopia": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "monochromacy": ((0.2126, 0.7152, 0.0722),) * 3,
}
"""How linear red, green and blue look without one kind of cone (Viénot 1999), or by lightness alone."""


def lab(colour: Rgb) -> Rgb:
    """CIE L*a*b* of linear sRGB under D65: distances in it are differences that one sees."""
    red, green, blue = colour
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def as_seen(colour: str, matrix: tuple[Rgb, ...]) -> Rgb:
    parts = rgb(colour)
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, parts, strict=True))))
        for row in matrix
    )
    return lab((red, green, blue))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_good_doubtful_and_bad_differ_for_the_colour_blind(kind: str) -> None:
    colours = THEMES["colour-blind-safe"]["colours"]
    least = 8 if kind == "monochromacy" else 30
    for one, other in combinations(("success", "warning", "error"), 2):
        pair = (as_seen(colours[each], BLINDNESS[kind]) for each in (one, other))
        distance = sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5
        assert distance >= least, (one, other, round(distance, 1))
