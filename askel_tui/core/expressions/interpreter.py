"""JMESPath's parser and interpreter, with functions of our own and stricter types. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from jmespath.functions import Functions
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from askel_tui.core.expressions.functions import CUSTOM_FUNCTIONS, EvaluationProblem, describe_value
from askel_tui.core.numbers import is_number, scalar_text

MAX_RESULT_VALUES = 100_000
"""The largest number of values in a result. An expression can double its input at every step."""

_MAX_INTEGER_BITS = 14_284
"""The bits of the largest integer that Python converts to text: 4,300 digits."""


class ExpressionParser(Parser):
    """JMESPath's parser, with `!data.x` as `!(data.x)`. The library reads `(!data).x`, which is null for any record."""

    BINDING_POWER: ClassVar[dict[str, int]] = {**Parser.BINDING_POWER, "not": 8}
    _CACHE: ClassVar[dict[str, Any]] = {}


def evaluate_node(node: Any, record: Mapping[str, Any]) -> Any:
    """Evaluates a parsed expression for the record. Raises `EvaluationProblem` and `JMESPathError`."""
    return json_value(_INTERPRETER.visit(node, record))


def json_value(value: Any) -> Any:
    """Checks that JSON can express a value, and returns it. Raises `EvaluationProblem`."""
    if value is None or isinstance(value, str | bool):
        return value
    stack = [value]
    seen = 0
    while stack:
        item = stack.pop()
        seen += 1
        if seen > MAX_RESULT_VALUES:
            raise EvaluationProblem(f"the result holds more than {MAX_RESULT_VALUES:,} values")
        match item:
            case float() if not math.isfinite(item):
                raise EvaluationProblem("the result is no number that JSON can say")
            case int() if item.bit_length() > _MAX_INTEGER_BITS:
                raise EvaluationProblem("the result is a number with more than 4,300 digits")
            case None | str() | int() | float():
                pass
            case dict():
                stack.extend(item.values())
            case list():
                stack.extend(item)
            case _:
                raise EvaluationProblem("the result is an expression (&…), not a value")
    return value


class _Calls(Functions):
    """The functions that expressions can call: JMESPath's and our own."""

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        resolved_args = list(resolved_args)
        ours = CUSTOM_FUNCTIONS.get(function_name)
        if ours is not None:
            return ours.call(*resolved_args)
        if function_name == "to_string" and len(resolved_args) == 1 and is_number(resolved_args[0]):
            return scalar_text(resolved_args[0])
        return super().call_function(function_name, resolved_args)


class _Interpreter(TreeInterpreter):
    """Compares numbers with numbers and text with text. Null gives null; anything else is a problem."""

    def visit_comparator(self, node: Any, value: Any) -> Any:
        if node["value"] in ("eq", "ne"):
            return super().visit_comparator(node, value)
        left = self.visit(node["children"][0], value)
        right = self.visit(node["children"][1], value)
        if left is None or right is None:
            return None
        if _orderable(left) is None or _orderable(left) != _orderable(right):
            raise EvaluationProblem(f"can't compare {describe_value(left)} with {describe_value(right)}")
        return self.COMPARATOR_FUNC[node["value"]](left, right)


def _orderable(value: Any) -> str | None:
    """Returns the kind of an ordered value: `number` or `text`; None for a value without an order."""
    if isinstance(value, bool):
        return None
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else None


_INTERPRETER = _Interpreter(Options(custom_functions=_Calls()))
