"""Changes values in a YAML file that a person wrote: comments and everything else stay as they are. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from askel_tui.core.workflows.yaml_nodes import compose_nodes

Value = str | int | float | bool | Sequence[str] | None
"""A value that `set_value` writes: one value, or a list of texts."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
"""Texts that mean themselves without quotes; YAML's own words and numbers are quoted all the same."""
_OTHER_MEANING = re.compile(
    r"(?i:null|true|false|yes|no|on|off|y|n)|[-+.]?[0-9][0-9_.,:eE+-]*|0[xo][0-9a-fA-F]+"
)


class NotAMapping(ValueError):
    """A text in which nothing can be set: it is no mapping where one is needed."""


def inline(value: Value) -> str:
    """Writes a value on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json.dumps(value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and not _OTHER_MEANING.fullmatch(value)
        return value if plain else quote(value)
    return "[" + ", ".join(inline(each) for each in value) + "]"


def quote(text: str) -> str:
    """Writes a text in double quotes, as YAML reads it: what can't be seen is escaped."""
    return '"' + "".join(map(_quoted_character, text)) + '"'


def _quoted_character(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable() and char != "\ufeff":
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def set_value(text: str, path: Sequence[str], value: Value) -> str:
    """Returns the text with the value at a path of one or two keys. Raises `NotAMapping`."""
    root = _root(text)
    if root is None:
        return _append(text, _lines(path, value, 0))
    parent, left = root, list(path)
    while len(left) > 1:
        entry = _entry(parent, left[0])
        if entry is None:
            break
        if _is_empty(entry[1]):
            return _replace(text, entry[1], f"{{{inline(left[1])}: {inline(value)}}}")
        if not isinstance(entry[1], MappingNode):
            raise NotAMapping(left[0])
        parent, left = entry[1], left[1:]
    entry = _entry(parent, left[0])
    if entry is not None:
        return _replace(text, entry[1], inline(value))
    if parent.flow_style:
        if len(left) > 1:
            raise NotAMapping(left[0])
        joint = ", " if parent.value else ""
        at = text.rindex("}", 0, parent.end_mark.index)
        return f"{text[:at].rstrip()}{joint}{inline(left[0])}: {inline(value)}{text[at:]}"
    column = int(parent.start_mark.column)
    return _insert_after(text, _last(parent), _lines(left, value, column))


def remove_value(text: str, path: Sequence[str]) -> str:
    """Returns the text without what stands at a path; a mapping that it was alone in goes with it."""
    parent: Node | None = _root(text)
    above: list[tuple[MappingNode, Sequence[str]]] = []
    for number, key in enumerate(path):
        if not isinstance(parent, MappingNode):
            return text
        entry = _entry(parent, key)
        if entry is None:
            return text
        above.append((parent, path[: number + 1]))
        parent = entry[1]
    while len(above) > 1 and len(above[-1][0].value) == 1:
        above.pop()
    mapping, found = above[-1]
    entry = _entry(mapping, found[-1])
    assert entry is not None
    if mapping.flow_style:
        kept = [
            f"{text[key.start_mark.index : key.end_mark.index]}: {text[each.start_mark.index : _end(each)]}"
            for key, each in mapping.value
            if key is not entry[0]
        ]
        return _replace(text, mapping, "{" + ", ".join(kept) + "}")
    begin = text.rfind("\n", 0, entry[0].start_mark.index) + 1
    return text[:begin] + text[_line_end(text, _end(entry[1])) :]


def _root(text: str) -> MappingNode | None:
    """Composes a text; None where it holds nothing but comments."""
    node, problems = compose_nodes(text, "")
    if node is None and not [line for line in text.splitlines() if line.strip() and not line.startswith("#")]:
        return None
    if problems or not isinstance(node, MappingNode):
        raise NotAMapping("the file")
    return node


def _entry(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next(((name, value) for name, value in mapping.value if getattr(name, "value", None) == key), None)


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style is None and node.value in ("", "~", "null")


def _last(node: Node) -> Node:
    """Returns the node that ends last in a block; a block's own end is where the next thing begins."""
    while isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    return node


def _end(node: Node) -> int:
    return int(_last(node).end_mark.index)


def _line_end(text: str, at: int) -> int:
    """Returns where the line after a place begins; a block of literal text ends there already."""
    if at and text[at - 1 : at] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _replace(text: str, node: Node, new: str) -> str:
    start, end = int(node.start_mark.index), _end(node)
    space = " " if text[start - 1 : start] == ":" else ""
    ends_line = "\n" if text[end - 1 : end] == "\n" and end > start else ""
    return f"{text[:start]}{space}{new}{ends_line}{text[end:]}"


def _lines(path: Sequence[str], value: Value, column: int) -> str:
    if len(path) == 1:
        return f"{' ' * column}{inline(path[0])}: {inline(value)}\n"
    return f"{' ' * column}{inline(path[0])}:\n" + _lines(path[1:], value, column + 2)


def _append(text: str, lines: str) -> str:
    joint = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{joint}{lines}"


def _insert_after(text: str, node: Node, lines: str) -> str:
    at = _line_end(text, int(node.end_mark.index))
    return _append(text[:at], lines) + text[at:]
