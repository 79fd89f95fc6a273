"""Composes YAML into nodes that know their lines, and refuses what a workflow file does not need. Pure.

Anchors, aliases, tags and deep nesting are refused before nodes are built, so that these cannot outgrow the file.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from askel_tui.core.problems import Problem

MAX_FILE_CHARACTERS = 100_000
MAX_NODE_LEVELS = 20
_MAX_CALL_CHARACTERS = 500
"""The number of characters after which the end of an expression without quotes inside `{…}` is no longer searched."""
_MAX_YAML_PROBLEMS = 20
_LINE_ENDS = "\0\r\n\x85\u2028\u2029"


class _Loader(yaml.SafeLoader):
    """A YAML loader that takes function calls without quotes inside `{…}` and `[…]`.

    YAML ends a plain value there at any comma, so that `{Note: coalesce(data.note, 'none')}` would be an error.
    """

    def scan_plain(self) -> Any:
        length = self._length_of_call() if self.flow_level else 0
        if not length:
            return super().scan_plain()
        start = self.get_mark()
        text = self.prefix(length)
        self.allow_simple_key = False
        self.forward(length)
        return yaml.ScalarToken(text, True, start, self.get_mark())

    def _length_of_call(self) -> int:
        """Measures the next value, if it holds calls that are closed on this line; else 0."""
        depth = length = end = 0
        quote = ""
        called = False
        while length < _MAX_CALL_CHARACTERS and (char := self.peek(length)) not in _LINE_ENDS:
            if quote:
                quote = "" if char == quote else quote
            elif depth and char in "'\"`":
                quote = char
            elif char == "(":
                called = called or depth == 0
                depth += 1
            elif char == ")" and depth:
                depth -= 1
            elif not depth and (char in ",[]{}" or (char in ":#" and self._ends_plain(char, length))):
                break
            length += 1
            if not char.isspace():
                end = length
        return end if called and not depth else 0

    def _ends_plain(self, char: str, at: int) -> bool:
        """Checks whether a colon or a number sign ends a plain value here."""
        neighbour = self.peek(at + 1) if char == ":" else self.prefix(at)[-1:]
        return neighbour in _LINE_ENDS + " \t,[]{}"


def compose_nodes(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Composes the nodes of a document, or the problems that keep it from being read. Never raises."""
    if len(text) > MAX_FILE_CHARACTERS:
        return None, [Problem(f"the file has more than {MAX_FILE_CHARACTERS:,} characters", file=file)]
    try:
        problems = _unwanted(text, file)
        if problems:
            return None, problems[:_MAX_YAML_PROBLEMS]
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        return None, [Problem(f"not YAML: {_words(error)}", file=file, line=_line_of_error(error))]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [Problem("not YAML: a character that can't stand in a text file", file=file, line=line)]
    except Exception as error:
        # PyYAML lets ValueError and the like of odd escapes and directives through.
        return None, [Problem(f"not YAML: {error}", file=file)]
    if node is None:
        return None, [Problem("the file is empty", file=file, line=1)]
    return node, []


def _unwanted(text: str, file: str) -> list[Problem]:
    problems: list[Problem] = []
    level = documents = 0
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        line = int(event.start_mark.line) + 1
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                problems.append(Problem("a second document; a file holds one workflow", file=file, line=line))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problems.append(Problem("anchors (&) and aliases (*) are not taken here", file=file, line=line))
        if tag is not None:
            problems.append(Problem(f"tags are not taken here: {tag[:60]}", file=file, line=line))
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MAX_NODE_LEVELS:
            problems.append(Problem(f"nested deeper than {MAX_NODE_LEVELS} levels", file=file, line=line))
            break
    return problems


def _words(error: yaml.MarkedYAMLError) -> str:
    hint = (
        " (an expression with commas or colons stands in quotes)" if "flow" in (error.context or "") else ""
    )
    return ", ".join(part for part in (error.context, error.problem) if part) + hint


def _line_of_error(error: yaml.MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return None if mark is None else int(mark.line) + 1


def node_line(node: Node) -> int:
    """Returns the line on which the node begins, from 1."""
    return int(node.start_mark.line) + 1


def describe_node(node: Node) -> str:
    """Names the kind of a node with its article: `a mapping`, `a list`, `a single value`."""
    if isinstance(node, MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, SequenceNode) else "a single value"
