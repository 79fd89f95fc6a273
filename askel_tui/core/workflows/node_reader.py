"""Reads values from the nodes of a workflow file and collects problems. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from askel_tui.core.expressions.expression import Expression, ExpressionError, parse_expression
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.model import FIRST_RULES, NEWEST_RULES
from askel_tui.core.workflows.yaml_nodes import describe_node, node_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """One entry of a mapping: its key and value, with their nodes."""

    name: str
    key: Node
    value: Node


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Reads values from nodes. A wrong value is added to `problems`, and None is given instead.

    What only the newest rules refuse goes to `warnings` where the file follows the first.

    `lines` collects the line of each field, and under '' that of the whole.
    """

    file: str
    problems: list[Problem]
    step: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    rules: int = FIRST_RULES
    warnings: list[Problem] = field(default_factory=list)
    literals: set[tuple[str, str]] = field(default_factory=set)
    """The names that are meant as text, by step and field."""

    def for_step(self, step: str | None, node: Node) -> NodeReader:
        """Makes a reader for one step of the same file."""
        return replace(self, step=step, lines={"": node_line(node)})

    def add_problem(
        self, node: Node, message: str, field: str | None = None, suggestion: str | None = None
    ) -> None:
        """Adds a problem of the field, at the node's line."""
        self.problems.append(Problem(message, field, self.step, self.file, node_line(node), suggestion))

    def add_new_problem(self, node: Node, message: str, field: str | None = None) -> None:
        """Adds a problem that the newest rules brought; under the first it is a warning."""
        if self.rules >= NEWEST_RULES:
            self.add_problem(node, message, field)
        else:
            self.add_warning(node, message, field)

    def add_warning(self, node: Node, message: str, field: str | None = None) -> None:
        """Adds a warning of the field, at the node's line."""
        self.warnings.append(Problem(message, field, self.step, self.file, node_line(node)))

    def read_entries(self, node: Node | None, field: str | None, takes: str) -> list[MappingEntry]:
        """Reads the entries of a mapping. A key that is no word or comes twice is a problem.

        `takes` describes the mapping.
        """
        if node is None:
            return []
        if not isinstance(node, MappingNode):
            self.add_problem(node, f"takes {takes}, not {describe_node(node)}", field)
            return []
        found: dict[str, MappingEntry] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.add_problem(key, "a key must be a word", field)
                continue
            name = _under(field, key.value)
            if key.value in found:
                self.add_problem(
                    key, f"stands here twice, first on line {node_line(found[key.value].key)}", name
                )
                continue
            found[key.value] = MappingEntry(key.value, key, value)
            self.lines.setdefault(name, node_line(key))
        return list(found.values())

    def read_fields(
        self, node: Node | None, field: str | None, known: Sequence[str], required: Mapping[str, str]
    ) -> dict[str, Node]:
        """Reads the values of a mapping by key.

        An unknown key is a problem, and so is a missing one of `required`, which says what each is for.
        """
        takes = f"a mapping of {', '.join(known)}"
        if node is not None and not isinstance(node, MappingNode):
            self.add_problem(node, f"takes {takes}, not {describe_node(node)}", field)
            return {}
        entries = self.read_entries(node, None, takes)
        unknown = [entry for entry in entries if entry.name not in known]
        meant = {did_you_mean(entry.name, known) for entry in unknown}
        for entry in unknown:
            self.add_problem(
                entry.key,
                f"no such key here; there are {', '.join(known)}",
                entry.name,
                did_you_mean(entry.name, known),
            )
        found = {entry.name: entry.value for entry in entries if entry.name in known}
        for name, what in required.items():
            # A mistyped key is one problem, not two.
            if node is not None and name not in found and name not in meant:
                self.add_problem(node, f"is missing: {what}", name)
        return found

    def read_word(self, node: Node | None, field: str) -> str | None:
        """Reads a literal: the text of a scalar as it is written, even where YAML reads a number."""
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            self.add_problem(node, f"takes a name, not {describe_node(node)}", field)
            return None
        if not node.value.strip():
            self.add_problem(node, "is empty", field)
            return None
        return str(node.value)

    def read_name(self, node: Node | None, field: str) -> str | None:
        """Reads a name of something in the account: `NAME`, or `{name: NAME}`, which is text whatever it looks like."""
        keys = [key.value for key, _ in node.value] if isinstance(node, MappingNode) else []
        if "name" not in keys:
            return self.read_word(node, field)
        inner = self.read_fields(node, field, ("name",), {"name": "the name, as it is"})
        name = self.read_word(inner.get("name"), field)
        if name is not None:
            self.literals.add((self.step or "", field))
        return name

    def read_words(self, node: Node | None, field: str) -> tuple[str, ...]:
        """Reads one literal or a list of them, none twice."""
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            one = self.read_word(node, field)
            return () if one is None else (one,)
        if not node.value:
            self.add_problem(node, "the list is empty", field)
        found: dict[str, None] = {}
        for each in node.value:
            word = self.read_word(each, field)
            if word in found:
                self.add_problem(each, f"{word} stands in the list twice", field)
            elif word is not None:
                found[word] = None
        return tuple(found)

    def read_flag(self, node: Node | None, field: str) -> bool | None:
        """Reads true or false."""
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.value.lower() in ("true", "false"):
            return bool(node.value.lower() == "true")
        self.add_problem(node, "takes true or false", field)
        return None

    def read_expression(self, node: Node | None, field: str) -> Expression | None:
        """Reads a JMESPath expression over the record."""
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            self.add_problem(node, f"takes an expression, not {describe_node(node)}", field)
            return None
        hint = _hint(node)
        if hint is not None:
            self.add_problem(node, hint, field)
            return None
        try:
            return parse_expression(node.value.strip())
        except ExpressionError as error:
            self.add_problem(node, error.message, field, error.suggestion)
            return None


def _under(field: str | None, name: str) -> str:
    return f"{field}.{name}" if field else name


def _hint(node: ScalarNode) -> str | None:
    """Suggests what to write instead of a plain YAML value where an expression is expected; None for an expression."""
    match node.tag.rpartition(":")[2]:
        case "int" | "float" | "bool":
            return f"{node.value} is no expression; the value itself is written `{node.value}`, in backticks"
        case "timestamp":
            return f"{node.value} is no expression; text is written \"'{node.value}'\", in both quotes"
        case "null":
            return "is empty, where an expression is expected"
    return None
