"""The table of screens. A screen's module is imported when the screen is first shown."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.screen import Screen


@dataclass(frozen=True, slots=True)
class ScreenEntry:
    """A screen: its key, its name in code, its title, its module and class, and what it is for."""

    key: str
    name: str
    title: str
    module: str
    attribute: str
    description: str


def _entry(key: str, name: str, title: str, attribute: str, about: str) -> ScreenEntry:
    return ScreenEntry(key, name, title, f"askel_tui.tui.screens.{name}.screen", attribute, about)


SCREENS = (
    _entry("1", "overview", "Overview", "OverviewScreen", "What runs, what waits, what is held"),
    _entry("2", "connections", "Connections", "ConnectionsScreen", "Klaviyo accounts and their keys"),
    _entry("3", "browse", "Browse", "BrowseScreen", "What exists in an account"),
    _entry("4", "mapping", "Mapping", "MappingScreen", "Workflows: from records to Klaviyo"),
    _entry("5", "dry_run", "Dry run", "DryRunScreen", "What would be written"),
    _entry("6", "live", "Live", "LiveScreen", "Every write and decision, as it happens"),
    _entry("7", "failed", "Failed", "FailedScreen", "What did not arrive, and another try"),
    _entry("8", "settings", "Settings", "SettingsScreen", "Themes, keys, clipboard, notices"),
)

SCREENS_BY_NAME = {entry.name: entry for entry in SCREENS}


def create_screen(entry: ScreenEntry) -> Screen[Any]:
    """Makes a new screen of an entry."""
    screen: Screen[Any] = getattr(importlib.import_module(entry.module), entry.attribute)()
    return screen
