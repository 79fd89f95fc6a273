"""Marks functions of an instance as reading or writing, so that a read-only console can refuse those that write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

MARK = "__changes_something__"
"""The attribute of a marked function that holds whether the function writes."""


def reads(function: F) -> F:
    """Marks a function that changes nothing but what Askel remembers of an account."""
    setattr(function, MARK, False)
    return function


def writes(function: F) -> F:
    """Marks a function that changes something; `Backend.call` refuses it in a read-only console."""
    setattr(function, MARK, True)
    return function


@dataclass(frozen=True, slots=True)
class LazyFunction:
    """A function by module and name, imported when it is called."""

    module: str
    name: str
    writes: bool

    def load(self) -> Callable[..., Awaitable[Any]]:
        """Imports the function."""
        found: Callable[..., Awaitable[Any]] = getattr(import_module(self.module), self.name)
        return found


def is_write(function: Any) -> bool:
    """Checks whether a function is marked as writing. Raises `TypeError` for one that has no mark."""
    found = function.writes if isinstance(function, LazyFunction) else getattr(function, MARK, None)
    if found is None:
        raise TypeError(f"{function!r} is neither marked with @reads nor with @writes")
    return bool(found)


def name_of(function: Any) -> str:
    """Returns the name of a marked function."""
    return str(function.name if isinstance(function, LazyFunction) else function.__name__)
