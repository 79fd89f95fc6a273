"""Templates: one workflow file for several connections, with names in `${…}` that each of them fills. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from yaml.nodes import MappingNode, Node, ScalarNode

from askel_tui.core.configuration.editing import quote
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.yaml_nodes import compose_nodes, node_line

_NAMED = re.compile(r"\$\{([^{}\n]*)\}")

CONNECTION_NAME = "connection"
"""The name that stands for the connection itself."""


def fill_template(text: str, values: Mapping[str, str], file: str) -> tuple[str, list[Problem]]:
    """Returns the text with each `${name}` filled, and what keeps it from being so; comments stay as they are.

    A value stands for a part of one YAML value, never for more: what it holds can't become keys or lines of the file.
    """
    node, problems = compose_nodes(text, file)
    if node is None:
        return text, problems
    parts: list[str] = []
    done = 0
    for scalar in sorted(_scalars(node), key=lambda each: each.start_mark.index):
        written = _NAMED.findall(scalar.value)
        if not written:
            continue
        unknown = [name for name in written if name not in values]
        for name in unknown:
            message = f"${{{name}}} is not filled; there are {', '.join(sorted(values))}"
            suggestion = did_you_mean(name, values)
            problems.append(Problem(message, file=file, line=node_line(scalar), suggestion=suggestion))
        filled = _NAMED.sub(lambda found: values.get(found[1], found[0]), scalar.value)
        start, end = int(scalar.start_mark.index), int(scalar.end_mark.index)
        tail = "\n" if text[start:end].endswith("\n") else ""
        parts += [text[done:start], quote(filled), tail]
        done = end
    return "".join([*parts, text[done:]]), problems


def _scalars(node: Node) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _scalars(key)
            yield from _scalars(value)
    else:
        for each in node.value:
            yield from _scalars(each)
