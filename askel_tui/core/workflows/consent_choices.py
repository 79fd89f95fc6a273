"""The choice of a subscription: what becomes of people who have opted out. Pure.

New versions of files that follow the newest rules have to choose; others subscribe them again, as they always did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.model import NEWEST_RULES, ConsentChoice, Subscribe, Workflow, line_of

if TYPE_CHECKING:
    from askel_tui.core.workflows.node_reader import NodeReader

CHOICES: Mapping[ConsentChoice, str] = {
    "consent_at": "`consent_at: EXPR` (when the person agreed: that counts where it is later)",
    "proof": "`proof: record` (the record's time is when the person agreed)",
    "resubscribe": "`resubscribe: true` (they are subscribed again)",
    "refuse": "`refuse: true` (never)",
}
"""The keys of the choices, each with what it means."""

NEVER = "refuse: true"
"""The choice that subscribes nobody again."""

_CHOOSE = f"choose {', '.join(CHOICES.values())}"
_MISSING = "is missing: whether somebody who opted out, or is suppressed, is subscribed again"
_WARNING = "subscribes people again who have opted out or are suppressed, and does not look"


def read_choice(given: Mapping[str, Node], node: Node, reader: NodeReader) -> ConsentChoice | None:
    """Reads the choice from the entries of a `subscribe`; None without one, which is a warning."""
    chosen = [name for name in CHOICES if name in given]
    if not chosen:
        reader.add_warning(node, f"{_WARNING}: {_CHOOSE}", "subscribe")
        return None
    if len(chosen) > 1:
        reader.add_problem(
            given[chosen[1]], f"{' and '.join(chosen)} exclude each other: {_CHOOSE}", chosen[1]
        )
    choice = chosen[0]
    if choice == "proof":
        word = reader.read_word(given["proof"], "proof")
        if word is not None and word != "record":
            message = f"takes record, the time of the record, not {word}; another time is `consent_at: EXPR`"
            reader.add_problem(given["proof"], message, "proof", did_you_mean(word, ("record",)))
    elif choice in ("resubscribe", "refuse") and reader.read_flag(given[choice], choice) is False:
        reader.add_problem(given[choice], f"is not chosen with false: {_CHOOSE}", choice)
    return choice


def missing_choices(workflow: Workflow, file: str) -> list[Problem]:
    """Lists a problem for each subscription of the newest rules that does not choose."""
    if workflow.rules < NEWEST_RULES:
        return []
    return [
        Problem(f"{_MISSING}; {_CHOOSE}", "subscribe", step.id, file, line_of(step, "subscribe"))
        for step in workflow.steps
        if isinstance(step, Subscribe) and step.choice is None
    ]


def written_choice(choice: str) -> str:
    """Returns the line of a choice: of `refuse`, `record`, `resubscribe`, or an expression for when they agreed."""
    known = {"refuse": NEVER, "record": "proof: record", "resubscribe": "resubscribe: true"}
    return known.get(choice) or f"consent_at: {json.dumps(choice, ensure_ascii=False)}"


def choose(text: str, root: Node, choice: str) -> str:
    """Writes a choice (`refuse: true`) into each subscription of a file's text that has none.

    One that has the time of consent already says it by that: its `consented_at` becomes `consent_at`.
    """
    for mapping in reversed(list(_subscriptions(root))):
        keys = {key.value: key for key, _ in mapping.value if isinstance(key, ScalarNode)}
        if keys.keys() & CHOICES.keys():
            continue
        at = mapping.start_mark.index
        if (dated := keys.get("consented_at")) is not None:
            start, end = dated.start_mark.index, dated.end_mark.index
            text = f"{text[:start]}consent_at{text[end:]}"
        elif mapping.flow_style:
            text = f"{text[: at + 1]}{choice}, {text[at + 1 :]}"
        else:
            line_end = "\r\n" if "\r\n" in text else "\n"
            text = f"{text[:at]}{choice}{line_end}{' ' * mapping.start_mark.column}{text[at:]}"
    return text


def _subscriptions(root: Node) -> Iterator[MappingNode]:
    """Yields what the steps have under `subscribe`, in the order of the file."""
    steps = _value(root, "steps")
    for step in steps.value if isinstance(steps, SequenceNode) else ():
        found = _value(cast("Node", step), "subscribe")
        if isinstance(found, MappingNode) and found.value:
            yield found


def _value(node: Node | None, name: str) -> Node | None:
    entries = node.value if isinstance(node, MappingNode) else ()
    return next((value for key, value in entries if isinstance(key, ScalarNode) and key.value == name), None)
