"""The JSON of results of services, made from their dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from askel_tui.core.problems import Problem
from askel_tui.sync.planning.run_builder import problem_row


def to_json(value: Any) -> Any:
    """Converts a value to JSON values: a dataclass to an object with its fields in order, a tuple to an array."""
    if isinstance(value, Problem):
        return problem_row(value)
    if is_dataclass(value):
        return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return value
