"""Loads workflow files: YAML text becomes a workflow, or a list of all its problems. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from askel_tui.core.operations import IDENTIFIERS, STEP_KINDS
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.model import (
    DISPENSABLE_IDENTIFIER,
    FIRST_RULES,
    NEWEST_RULES,
    ON_SHARED_PHONE,
    Subscribe,
    Unsubscribe,
    Workflow,
    line_of,
)
from askel_tui.core.workflows.node_reader import NodeReader
from askel_tui.core.workflows.step_readers import read_step
from askel_tui.core.workflows.yaml_nodes import compose_nodes, describe_node, node_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from askel_tui.core.expressions.expression import Expression
    from askel_tui.core.operations import StepKind
    from askel_tui.core.workflows.model import OnSharedPhone, Step

_KEYS = ("askel", "workflow", "connection", "trigger", "when", "profile", "on_shared_phone", "steps")
_REQUIRED = {
    "workflow": "the name of the workflow",
    "connection": "the connection that it writes through",
    "trigger": "the event that starts it, or a list of events",
    "profile": f"who a record is about, by at least one of {', '.join(IDENTIFIERS)}",
    "steps": "what is done, as a list",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_CONSENT_BY = {"email": "email", "sms": "phone_number", "whatsapp": "phone_number"}
"""The identifier that a profile needs to give consent for a channel (docs/klaviyo.md 3.3), by channel."""


def load_workflow(text: str, file: str = "<workflow>") -> tuple[Workflow | None, list[Problem]]:
    """Loads a workflow: the workflow and no problems, or None and all problems in the order of the file.

    Never raises.
    """
    root, problems = compose_nodes(text, file)
    if root is None:
        return None, problems
    reader = NodeReader(file, problems, rules=_rules(root))
    if not isinstance(root, MappingNode):
        reader.add_problem(
            root, f"a workflow file holds a mapping of {', '.join(_KEYS)}, not {describe_node(root)}"
        )
        return None, problems
    workflow = _workflow(root, text, reader)
    problems.sort(key=lambda problem: problem.line or 0)
    return (None if problems else workflow), problems


def _workflow(root: MappingNode, text: str, reader: NodeReader) -> Workflow:
    given = reader.read_fields(root, None, _KEYS, _REQUIRED)
    if "askel" in given and reader.rules != NEWEST_RULES:
        message = (
            f"takes {NEWEST_RULES}, the newest rules that this Askel knows; without it the first rules hold"
        )
        reader.add_problem(given["askel"], message, "askel")
    dispensable: set[str] = set()
    profile = _profile(given.get("profile"), dispensable, reader)
    shared_phone = reader.read_word(given.get("on_shared_phone"), "on_shared_phone")
    if shared_phone is not None and shared_phone not in ON_SHARED_PHONE:
        suggestion = did_you_mean(shared_phone, ON_SHARED_PHONE)
        message = f"takes {', '.join(ON_SHARED_PHONE)}, not {shared_phone}"
        reader.add_problem(given["on_shared_phone"], message, "on_shared_phone", suggestion)
    steps = _steps(given.get("steps"), reader)
    if profile is not None:
        _check_consent(steps, profile, reader)
    reader.lines[""] = node_line(root)
    return Workflow(
        name=_name(given.get("workflow"), "workflow", reader),
        connection=_name(given.get("connection"), "connection", reader),
        triggers=reader.read_words(given.get("trigger"), "trigger"),
        when=reader.read_expression(given.get("when"), "when"),
        profile=profile or {},
        steps=steps,
        source=text,
        lines=reader.lines,
        rules=reader.rules,
        shared_phone=cast("OnSharedPhone | None", shared_phone),
        dispensable=frozenset(dispensable),
        literals=frozenset(reader.literals),
        warnings=tuple(reader.warnings),
    )


def _rules(root: Node) -> int:
    """Reads which rules a file follows, before anything else is read by them."""
    entries = root.value if isinstance(root, MappingNode) else ()
    given = (value.value for key, value in entries if isinstance(key, ScalarNode) and key.value == "askel")
    return NEWEST_RULES if next(given, None) == str(NEWEST_RULES) else FIRST_RULES


def _name(node: Node | None, field: str, reader: NodeReader) -> str:
    name = reader.read_word(node, field)
    if node is None or name is None:
        return ""
    if not _NAME.fullmatch(name):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")
        message = "names are 1 to 64 small letters, digits and hyphens, and begin with no hyphen"
        reader.add_problem(node, message, field, slug or None)
    return name


def _profile(node: Node | None, dispensable: set[str], reader: NodeReader) -> Mapping[str, Expression] | None:
    """Reads the identifiers' expressions; None where `profile` is missing, which is another problem.

    Those that are left out where they are bad are added to `dispensable`.
    """
    if node is None:
        return None
    if isinstance(node, MappingNode) and not node.value:
        reader.add_problem(node, f"names nobody; give at least one of {', '.join(IDENTIFIERS)}", "profile")
        return None
    found: dict[str, Expression] = {}
    for entry in reader.read_entries(node, "profile", f"a mapping of {', '.join(IDENTIFIERS)}"):
        field = f"profile.{entry.name}"
        if entry.name not in IDENTIFIERS:
            message = f"no identifier; those are {', '.join(IDENTIFIERS)}"
            reader.add_problem(entry.key, message, field, did_you_mean(entry.name, IDENTIFIERS))
            continue
        value = entry.value
        if isinstance(value, MappingNode) and entry.name == DISPENSABLE_IDENTIFIER:
            inner = reader.read_fields(value, field, ("value", "if_bad"), {"value": "an expression"})
            if_bad = reader.read_word(inner.get("if_bad"), field)
            if if_bad == "leave_out":
                dispensable.add(entry.name)
            elif if_bad is not None:
                reader.add_problem(inner["if_bad"], f"`if_bad` takes leave_out, not {if_bad}", field)
            if "value" not in inner:
                continue
            value = inner["value"]
        expression = reader.read_expression(value, field)
        if expression is not None:
            found[entry.name] = expression
    return found


def _steps(node: Node | None, reader: NodeReader) -> tuple[Step, ...]:
    if node is None:
        return ()
    if not isinstance(node, SequenceNode):
        reader.add_problem(node, f"takes a list of steps, not {describe_node(node)}", "steps")
        return ()
    if not node.value:
        reader.add_problem(node, "there are no steps; a workflow has at least one", "steps")
    steps: list[Step] = []
    ids: dict[str, int] = {}
    for number, each in enumerate(node.value, 1):
        step = _step(number, each, ids, reader)
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _step(number: int, node: Node, ids: dict[str, int], of_file: NodeReader) -> Step | None:
    """Reads a step; None where it can't be read.

    `ids` are those of the steps above with their lines; this step's is added.
    """
    # A step without an id is called by its number in problems.
    step_id = _id_of(node)
    reader = of_file.for_step(step_id or str(number), node)
    entries = reader.read_entries(node, None, "a mapping of `id` and what the step does")
    if not isinstance(node, MappingNode):
        return None
    given_id = next((entry for entry in entries if entry.name == "id"), None)
    if given_id is None:
        reader.add_problem(node, "is missing: a name for the step", "id")
    else:
        _name(given_id.value, "id", reader)
    if given_id is not None and step_id:
        if step_id in ids:
            reader.add_problem(
                given_id.key, f"two steps have this id, the first one on line {ids[step_id]}", "id"
            )
        ids.setdefault(step_id, node_line(given_id.key))
    actions = [entry for entry in entries if entry.name in STEP_KINDS]
    unknown = [entry for entry in entries if entry.name not in (*STEP_KINDS, "id")]
    for entry in unknown:
        _unknown(entry.name, entry.key, bool(actions), reader)
    if not actions and not unknown:
        reader.add_problem(node, f"does nothing; it takes one of {', '.join(STEP_KINDS)}")
    for entry in actions[1:]:
        message = f"a step does one thing, and this one has {actions[0].name} already"
        reader.add_problem(entry.key, message, entry.name)
    # Every action is read, so that the problems inside a second one are found too.
    read = [read_step(cast("StepKind", entry.name), step_id, entry.value, reader) for entry in actions]
    return read[0] if read else None


def _id_of(node: Node) -> str:
    """Reads the id that a step gives itself, or ''."""
    if not isinstance(node, MappingNode):
        return ""
    given = (value for key, value in node.value if isinstance(key, ScalarNode) and key.value == "id")
    value = next(given, None)
    return value.value.strip() if isinstance(value, ScalarNode) else ""


def _unknown(name: str, key: Node, has_action: bool, reader: NodeReader) -> None:
    if name == "when":
        message = "belongs to the workflow; what makes a step depend on the profile is require_segment"
        reader.add_problem(key, message, name)
        return
    message = "a step has no such key" if has_action else "there is no such kind of step"
    reader.add_problem(key, message, name, did_you_mean(name, (*STEP_KINDS, "id")))


def _check_consent(steps: Sequence[Step], profile: Mapping[str, Expression], reader: NodeReader) -> None:
    """Adds a problem for each channel whose identifier the workflow never names: it would fail for every record."""
    for step in steps:
        if not isinstance(step, Subscribe | Unsubscribe):
            continue
        for channel in step.channels:
            needed = _CONSENT_BY.get(channel)
            if needed is not None and f"profile.{needed}" not in reader.lines:
                message = f"consent for {channel} needs {needed} under `profile`"
                reader.problems.append(
                    Problem(message, "channels", step.id, reader.file, line_of(step, "channels"))
                )
