"""Brings a workflow file under the newest rules: its new text, and what they refuse in it. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from yaml.nodes import MappingNode

from askel_tui.core.problems import Problem
from askel_tui.core.workflows.consent_choices import NEVER, choose, missing_choices
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.model import NEWEST_RULES, Subscribe, Workflow, line_of
from askel_tui.core.workflows.yaml_nodes import compose_nodes

_SHARED_PHONE = (
    "two people who share a number become one profile; by the newest rules it is left out of the second, unless "
    "`on_shared_phone` says otherwise"
)
_PLACEHOLDER = "placeholders such as 000-000-0000 pass e164; by the newest rules they are refused"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A workflow file under the newest rules: `problems` are what these refuse, `changes` what they do otherwise."""

    before: str
    after: str
    problems: tuple[Problem, ...] = ()
    changes: tuple[Problem, ...] = ()

    @property
    def is_needed(self) -> bool:
        """True if the file does not follow the newest rules yet."""
        return self.before != self.after

    def diff(self, file: str) -> list[str]:
        """Lists the lines of the difference, as `diff -u` does."""
        old, new = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(old, new, file, file, lineterm="", n=1))


def upgrade_file(text: str, file: str, choice: str = NEVER) -> Upgrade:
    """Puts the marker of the newest rules at the head of a file's mapping, where comments above it stay, and `choice`
    into each subscription that does not say what becomes of people who have opted out.

    The problems of a file that can't be read even by its own rules are given with the text as it is.
    """
    workflow, problems = load_workflow(text, file)
    root, _ = compose_nodes(text, file)
    if workflow is None or workflow.rules == NEWEST_RULES or not isinstance(root, MappingNode):
        return Upgrade(text, text, tuple(problems))
    chosen = choose(text, root, choice)
    at, marker = root.start_mark.index, f"askel: {NEWEST_RULES}"
    if root.flow_style:
        after = f"{chosen[: at + 1]}{marker}, {chosen[at + 1 :]}"
    else:
        line_end = "\r\n" if "\r\n" in text else "\n"
        after = f"{chosen[:at]}{marker}{line_end}{' ' * root.start_mark.column}{chosen[at:]}"
    upgraded, problems = load_workflow(after, file)
    if upgraded is not None:
        problems = missing_choices(upgraded, file)
    refused = {(each.step, each.field) for each in problems}
    refused |= {(step.id, "subscribe") for step in workflow.steps}
    warned = (each for each in workflow.warnings if (each.step, each.field) not in refused)
    changes = (*changed_meanings(workflow), *_chosen(workflow, choice), *warned)
    return Upgrade(text, after, tuple(problems), changes)


def _chosen(workflow: Workflow, choice: str) -> list[Problem]:
    """Lists what is chosen for subscriptions that did not choose."""
    return [
        Problem(
            "people who have opted out were subscribed again, and nobody looked; now "
            + (f"`{choice}` decides" if step.consented_at is None else "the time of consent decides"),
            "subscribe",
            step.id,
            line=line_of(step, "subscribe"),
        )
        for step in workflow.steps
        if isinstance(step, Subscribe) and step.choice is None
    ]


def changed_meanings(workflow: Workflow) -> list[Problem]:
    """Lists what a file that follows the first rules leaves to its records, and the newest rules decide otherwise."""
    if workflow.rules >= NEWEST_RULES or "phone_number" not in workflow.profile:
        return []
    found = []
    if len(workflow.profile) > 1 and workflow.shared_phone is None:
        found.append(_SHARED_PHONE)
    if "e164(" in workflow.profile["phone_number"].text.replace(" ", ""):
        found.append(_PLACEHOLDER)
    field, line = "profile.phone_number", line_of(workflow, "profile.phone_number")
    return [Problem(message, field, line=line) for message in found]
