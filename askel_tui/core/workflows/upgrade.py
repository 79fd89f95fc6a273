"""Brings a workflow file under the newest rules: its new text, and what they refuse in it. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yaml.nodes import MappingNode

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import NEWEST_RULES
from askel_tui.core.workflows.yaml_nodes import compose_nodes

if TYPE_CHECKING:
    from askel_tui.core.problems import Problem


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A workflow file under the newest rules; `problems` are what these refuse in it."""

    before: str
    after: str
    problems: tuple[Problem, ...] = ()

    @property
    def is_needed(self) -> bool:
        """True if the file does not follow the newest rules yet."""
        return self.before != self.after

    def diff(self, file: str) -> list[str]:
        """Lists the lines of the difference, as `diff -u` does."""
        old, new = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(old, new, file, file, lineterm="", n=1))


def upgrade_file(text: str, file: str) -> Upgrade:
    """Puts the marker of the newest rules at the head of a file's mapping, where comments above it stay.

    The problems of a file that can't be read even by its own rules are given with the text as it is.
    """
    workflow, problems = load_workflow(text, file)
    root, _ = compose_nodes(text, file)
    if workflow is None or workflow.rules == NEWEST_RULES or not isinstance(root, MappingNode):
        return Upgrade(text, text, tuple(problems))
    at, marker = root.start_mark.index, f"askel: {NEWEST_RULES}"
    if root.flow_style:
        after = f"{text[: at + 1]}{marker}, {text[at + 1 :]}"
    else:
        line_end = "\r\n" if "\r\n" in text else "\n"
        after = f"{text[:at]}{marker}{line_end}{' ' * root.start_mark.column}{text[at:]}"
    _, problems = load_workflow(after, file)
    return Upgrade(text, after, tuple(problems))
