"""Expressions: JMESPath over a record, with functions of our own and stricter types. Pure.

Parsing checks the whole expression: its functions, their numbers of arguments, and that it starts at a field that
records have. Errors that depend on a record are an `EvaluationProblem`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jmespath.exceptions import (
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
)
from jmespath.functions import Functions

from askel_tui.core.catalog import value_type
from askel_tui.core.expressions.functions import (
    CUSTOM_FUNCTIONS,
    EvaluationProblem,
    describe_value,
)
from askel_tui.core.expressions.interpreter import ExpressionParser, evaluate_node, json_value
from askel_tui.core.expressions.phones import is_known_region
from askel_tui.core.problems import did_you_mean
from askel_tui.core.records.record import OWN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EvaluationProblem", "Expression", "ExpressionError", "parse_expression"]

MAX_EXPRESSION_CHARACTERS = 4_000
"""The largest number of characters of an expression."""
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"|`((?:[^`\\]|\\.)*+)`", re.DOTALL)
_TYPE_WORDS = {
    "string": "text",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "array-number": "a list of numbers",
    "array-string": "a list of texts",
    "object": "an object",
    "expref": "an expression",
    "null": "null",
}
_RESULT_TYPES = {
    **dict.fromkeys(
        ("title", "lower", "upper", "trim", "concat", "text", "e164", "join", "to_string"), "text"
    ),
    **dict.fromkeys(("number", "length", "sum", "avg", "abs", "ceil", "floor", "to_number"), "number"),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), "boolean"),
    **dict.fromkeys(("keys", "values", "sort", "sort_by", "map"), "list"),
    "date": "date",
}
"""The types of what functions give, where it is always one."""

_CHILDREN_OVER_RECORD = {
    "filter_projection": 1,
    "projection": 1,
    "value_projection": 1,
    "subexpression": 1,
    "pipe": 1,
}
"""The number of a node's children that are evaluated over the record, by type of node; the others get the result of
these."""


class ExpressionError(ValueError):
    """Text that is no expression. `position` is the column of the error, from 0, where known."""

    def __init__(self, message: str, position: int | None = None, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.suggestion = suggestion


class Expression:
    """A parsed expression; two are equal when their texts are."""

    __slots__ = ("_node", "_path", "text")

    def __init__(self, text: str, node: Any) -> None:
        self.text = text
        self._node = node
        self._path = _plain_path(node)

    def evaluate(self, record: Mapping[str, Any]) -> Any:
        """Evaluates the expression for the record: a JSON value, null where a field is missing.

        Raises `EvaluationProblem` for values that it can't evaluate, and nothing else.
        """
        if self._path is not None:
            value: Any = record
            for name in self._path:
                if type(value) is not dict and not isinstance(value, Mapping):
                    return None
                value = value.get(name)
            return value
        try:
            return evaluate_node(self._node, record)
        except EvaluationProblem:
            raise
        except JMESPathTypeError as error:
            wanted = " or ".join(_TYPE_WORDS.get(each, each) for each in error.expected_types)
            found = describe_value(error.current_value)
            raise EvaluationProblem(f"{error.function_name} takes {wanted}, not {found}") from None
        except JMESPathError as error:
            raise EvaluationProblem(str(error)) from None
        except RecursionError:
            raise EvaluationProblem("the expression is nested too deep") from None
        except Exception as error:
            raise EvaluationProblem(f"can't be worked out for this record: {error}") from None

    def is_missing(self, record: Mapping[str, Any]) -> bool:
        """Checks whether the record has none of the fields that the expression reads, not even as null.

        An expression that reads no field is not missing.
        """
        paths = list(_paths(self._node))
        return bool(paths) and not any(_is_present(path, record) for path in paths)

    @property
    def result_type(self) -> str | None:
        """The type of its values in a word, where every record gives that one or null; else None."""
        kind, value = self._node["type"], self._node.get("value")
        if kind == "literal":
            return None if value is None else value_type(value)
        if kind == "function_expression":
            return _RESULT_TYPES.get(value)
        return {"comparator": "boolean", "not_expression": "boolean", "multi_select_list": "list"}.get(kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


@functools.lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """Parses an expression. Raises `ExpressionError`."""
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ExpressionError(f"over {MAX_EXPRESSION_CHARACTERS:,} characters long")
    _check_literals(text)
    try:
        node = ExpressionParser().parse(text).parsed
    except EmptyExpressionError:
        raise ExpressionError("empty, where an expression is expected", 0) from None
    except IncompleteExpressionError:
        raise ExpressionError(f"not an expression, it ends too early: {text}", len(text)) from None
    except JMESPathError as error:
        position = getattr(error, "lex_position", None)
        where = "" if position is None else f" at column {position + 1}"
        raise ExpressionError(f"not an expression{where}: {text}", position) from None
    except Exception:
        raise ExpressionError(f"not an expression: {text[:60]}") from None
    for function in _nodes(node, "function_expression"):
        _check_call(function)
    _check_roots(node)
    return Expression(text, node)


def text_literal(value: str) -> Expression:
    """Makes an expression whose value is `text`."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return Expression(f"'{escaped}'", {"type": "literal", "value": value, "children": []})


def _check_literals(text: str) -> None:
    """Refuses literals in backticks that are no JSON, which the library would take for text."""
    for match in _QUOTED.finditer(text):
        content = match.group(1)
        if content is None:
            continue
        try:
            value = json.loads(content.replace("\\`", "`"))
            json_value(value)
        except (ValueError, RecursionError):
            raise ExpressionError(
                f"no JSON between the backticks: {match.group()} (text is written 'like this')", match.start()
            ) from None


def _check_call(node: Any) -> None:
    name, arguments = node["value"], node["children"]
    signature = Functions.FUNCTION_TABLE.get(name)
    if name in CUSTOM_FUNCTIONS:
        least, most = CUSTOM_FUNCTIONS[name].min_arguments, CUSTOM_FUNCTIONS[name].max_arguments
    elif signature is not None:
        parameters = signature["signature"]
        least = len(parameters)
        most = None if parameters[-1].get("variadic") else least
    else:
        suggestion = did_you_mean(name, [*CUSTOM_FUNCTIONS, *Functions.FUNCTION_TABLE])
        raise ExpressionError(f"there is no function {name!r}", suggestion=suggestion)
    if len(arguments) < least or (most is not None and len(arguments) > most):
        at_least = "at least " if most is None else ""
        raise ExpressionError(
            f"{name} takes {at_least}{least} argument{'' if least == 1 else 's'}, {len(arguments)} given"
        )
    if name == "e164" and arguments[1]["type"] == "literal":
        region = arguments[1]["value"]
        if not isinstance(region, str) or not is_known_region(region):
            raise ExpressionError(
                f"e164 takes a region such as 'GB', not {describe_value(region)}",
                suggestion="GB" if region == "UK" else None,
            )


def _check_roots(node: Any) -> None:
    for name in dict.fromkeys(path[0] for path in _paths(node)):
        if name not in OWN_FIELDS:
            raise ExpressionError(
                f"a record has no field {name!r}; it has {', '.join(OWN_FIELDS)} (a text is written '{name}')",
                suggestion=did_you_mean(name, OWN_FIELDS) or f"data.{name}",
            )


def _paths(node: Any) -> Iterator[tuple[str, ...]]:
    """Finds the paths of the fields that the expression reads from the record, as far as they are plain."""
    path = _plain_path(node)
    if path is not None:
        yield path
        return
    if node["type"] == "expref":
        return
    children = [child for child in node["children"] if isinstance(child, dict)]
    if node["type"] == "index_expression":
        children = children[:1]
    for child in children[: _CHILDREN_OVER_RECORD.get(node["type"])]:
        yield from _paths(child)


def _is_present(path: tuple[str, ...], record: Mapping[str, Any]) -> bool:
    value: Any = record
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def _nodes(node: Any, kind: str) -> Iterator[Any]:
    stack = [node]
    while stack:
        each = stack.pop()
        if each["type"] == kind:
            yield each
        # A slice has numbers for children.
        stack.extend(child for child in each["children"] if isinstance(child, dict))


def _plain_path(node: Any) -> tuple[str, ...] | None:
    """Splits an expression of only fields and dots into its keys; None for any other."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    parts = [_plain_path(child) for child in node["children"]]
    return None if None in parts else tuple(name for part in parts if part is not None for name in part)
