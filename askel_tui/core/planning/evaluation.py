"""Evaluates a workflow's expressions for one record, and collects what speaks against their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from askel_tui.core.expressions.expression import EvaluationProblem, Expression
from askel_tui.core.expressions.functions import Remark
from askel_tui.core.problems import Problem
from askel_tui.core.workflows.model import NEWEST_RULES

REFUSED_KINDS = frozenset({"placeholder_phone"})
"""The remarks that the newest rules refuse; under the first they are warnings."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A record's plain values, the rules of its workflow, and the problems and warnings found so far.

    `remarks` are those of the expression that was evaluated last.
    """

    source: Mapping[str, Any]
    rules: int
    problems: list[Problem]
    warnings: list[Problem]
    remarks: list[Remark]

    def value(self, expression: Expression, step: str | None, field: str) -> Any:
        """Evaluates an expression; what is remarked becomes a warning. Raises `EvaluationProblem`."""
        value = expression.evaluate(self.source)
        if self.remarks:
            remarks = list(self.remarks)
            self.remarks.clear()
            for each in remarks:
                if self.rules >= NEWEST_RULES and each.kind in REFUSED_KINDS:
                    raise EvaluationProblem(each.text)
                self.warn(each.kind, each.text, step, field)
        return value

    def warn(self, kind: str, message: str, step: str | None, field: str) -> None:
        """Adds a warning."""
        self.warnings.append(Problem(message, field=field, step=step, kind=kind))
