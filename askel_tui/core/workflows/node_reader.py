"""Reads values out of the nodes of a workflow file and collects everything that is wrong on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from askel_tui.core.expressions.expression import Expression, ExpressionError, parse
from askel_tui.core.problems import Problem, did_you_mean
from askel_tui.core.workflows.yaml_nodes import kind, line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a mapping."""

    name: str
    key: Node
    value: Node


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads values out of nodes; what is wrong is added to `problems`, and None stands for the value.

    `lines` collects where each field stands, '' being the whole.
    """

    file: str
    problems: list[Problem]
    step: str | None = None
    lines: dict[str, int] = field(default_factory=dict)

    def of_step(self, step: str | None, node: Node) -> Reader:
        """A reader for one step of the same file."""
        return replace(self, step=step, lines={"": line(node)})

    def problem(
        self, node: Node, message: str, field: str | None = None, suggestion: str | None = None
    ) -> None:
        """Adds a problem of the field, at the node's line."""
        self.problems.append(Problem(message, field, self.step, self.file, line(node), suggestion))

    def entries(self, node: Node | None, field: str | None, takes: str) -> list[Entry]:
        """The entries of a mapping; a key that is no word or comes twice is a problem. `takes` says what belongs."""
        if node is None:
            return []
        if not isinstance(node, MappingNode):
            self.problem(node, f"takes {takes}, not {kind(node)}", field)
            return []
        found: dict[str, Entry] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problem(key, "a key must be a word", field)
                continue
            name = _under(field, key.value)
            if key.value in found:
                self.problem(key, f"stands here twice, first on line {line(found[key.value].key)}", name)
                continue
            found[key.value] = Entry(key.value, key, value)
            self.lines.setdefault(name, line(key))
        return list(found.values())

    def fields(
        self, node: Node | None, field: str | None, known: Sequence[str], required: Mapping[str, str]
    ) -> dict[str, Node]:
        """The values of a mapping by key, whose names stand for themselves in problems.

        An unknown key is a problem, and so is a missing one of `required`, which says what each is.
        """
        takes = f"a mapping of {', '.join(known)}"
        if node is not None and not isinstance(node, MappingNode):
            self.problem(node, f"takes {takes}, not {kind(node)}", field)
            return {}
        entries = self.entries(node, None, takes)
        unknown = [entry for entry in entries if entry.name not in known]
        meant = {did_you_mean(entry.name, known) for entry in unknown}
        for entry in unknown:
            self.problem(
                entry.key,
                f"no such key here; there are {', '.join(known)}",
                entry.name,
                did_you_mean(entry.name, known),
            )
        found = {entry.name: entry.value for entry in entries if entry.name in known}
        for name, what in required.items():
            # A mistyped key is one problem, not two.
            if node is not None and name not in found and name not in meant:
                self.problem(node, f"is missing: {what}", name)
        return found

    def word(self, node: Node | None, field: str) -> str | None:
        """A literal: the text of a scalar as it is written, also where YAML would make a number of it."""
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            self.problem(node, f"takes a name, not {kind(node)}", field)
            return None
        if not node.value.strip():
            self.problem(node, "is empty", field)
            return None
        return str(node.value)

    def words(self, node: Node | None, field: str) -> tuple[str, ...]:
        """One literal or a list of them, none twice."""
        if node is None:
            return ()
        if not isinstance(node, SequenceNode):
            one = self.word(node, field)
            return () if one is None else (one,)
        if not node.value:
            self.problem(node, "the list is empty", field)
        found: dict[str, None] = {}
        for each in node.value:
            word = self.word(each, field)
            if word in found:
                self.problem(each, f"{word} stands in the list twice", field)
            elif word is not None:
                found[word] = None
        return tuple(found)

    def flag(self, node: Node | None, field: str) -> bool | None:
        """true or false."""
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.value.lower() in ("true", "false"):
            return bool(node.value.lower() == "true")
        self.problem(node, "takes true or false", field)
        return None

    def expression(self, node: Node | None, field: str) -> Expression | None:
        """A JMESPath expression over the record."""
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            self.problem(node, f"takes an expression, not {kind(node)}", field)
            return None
        hint = _hint(node)
        if hint is not None:
            self.problem(node, hint, field)
            return None
        try:
            return parse(node.value.strip())
        except ExpressionError as error:
            self.problem(node, error.message, field, error.suggestion)
            return None


def _under(field: str | None, name: str) -> str:
    return f"{field}.{name}" if field else name


def _hint(node: ScalarNode) -> str | None:
    """What to write where a plain value of YAML stands in the place of an expression."""
    match node.tag.rpartition(":")[2]:
        case "int" | "float" | "bool":
            return f"{node.value} is no expression; the value itself is written `{node.value}`, in backticks"
        case "timestamp":
            return f"{node.value} is no expression; text is written \"'{node.value}'\", in both quotes"
        case "null":
            return "is empty, where an expression is expected"
    return None
