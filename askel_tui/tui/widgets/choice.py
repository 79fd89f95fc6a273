"""A choice of a picker. No Textual here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice: the value that is picked, its title, and a short description."""

    value: str
    title: str
    description: str = ""
