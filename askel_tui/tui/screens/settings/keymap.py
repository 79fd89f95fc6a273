"""The keys of the console with their ids and the user's own keymap, and clashes between them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.binding import Binding
from textual.dom import DOMNode

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.tui import screens, widgets

GLOBAL_SCOPES = ("app", "screen")
"""The scopes whose keys work beside those of any other."""


@dataclass(frozen=True, slots=True)
class Key:
    """A binding: its id, its present keys, its default keys, and what it does."""

    id: str
    keys: tuple[str, ...]
    default_keys: tuple[str, ...]
    description: str

    @property
    def scope(self) -> str:
        """The part of the console where the binding works: `app`, `screen` (every screen), a screen, or a widget."""
        return self.id.partition(".")[0]

    @property
    def is_custom(self) -> bool:
        """True if the user has set its keys."""
        return self.keys != self.default_keys


def all_keys(own: Mapping[str, str]) -> list[Key]:
    """Collects every binding that has an id, by id, with the user's keys. Loads all screens: not for the event loop."""
    found: dict[str, Key] = {}
    for binding in _bindings():
        if binding.id and binding.id not in found:
            default = _split(binding.key)
            keys = _split(own[binding.id]) if binding.id in own else default
            words = f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description
            found[binding.id] = Key(binding.id, keys, default, words)
    return sorted(found.values(), key=lambda key: (key.scope not in GLOBAL_SCOPES, key.id))


def find_clashes(keys: Sequence[Key]) -> dict[str, str]:
    """Finds clashes by id: another binding has one of its keys in its scope, or in a global one where the user set
    either."""
    clashes: dict[str, str] = {}
    for one in keys:
        for other in keys:
            shared = set(one.keys) & set(other.keys)
            if one is other or not shared:
                continue
            is_global = one.scope in GLOBAL_SCOPES or other.scope in GLOBAL_SCOPES
            if one.scope == other.scope or (is_global and (one.is_custom or other.is_custom)):
                clashes.setdefault(one.id, f"{min(shared)} is also {other.id}")
    return clashes


def find_unknown_ids(own: Mapping[str, str], keys: Sequence[Key], file: str) -> list[Problem]:
    """Finds the ids in the user's keymap that no binding has, as problems."""
    ids = [key.id for key in keys]
    return [
        Problem("is the id of no key", name, None, file, None, did_you_mean(name, ids))
        for name in own
        if name not in ids
    ]


def _split(keys: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in keys.split(",") if key.strip())


def _bindings() -> list[Binding]:
    """Returns the bindings of the app, of all screens and of all widgets."""
    for package in (screens, widgets):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return [
        binding
        for each in sorted(_subclasses(DOMNode), key=lambda each: each.__qualname__)
        if each.__module__.startswith("askel_tui.tui.")
        for binding in each.__dict__.get("BINDINGS", ())
        if isinstance(binding, Binding)
    ]


def _subclasses(base: type) -> set[type]:
    found: set[type] = set(base.__subclasses__())
    return found.union(*(_subclasses(each) for each in found))
