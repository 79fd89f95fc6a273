"""Findings of drift: one change of the account that a step depends on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from askel_tui.core.hold_causes import HOLD_CAUSES, Cause, Policy

if TYPE_CHECKING:
    from askel_tui.core.drift.dependencies import StepDependencies


@dataclass(frozen=True, slots=True)
class Finding:
    """A change since the workflow was applied.

    `detail` is one sentence for people. `evidence` is equal for equal findings, now and later.
    """

    step: str
    cause: str
    detail: str
    evidence: str
    policy: Policy
    property: str | None = None
    """The property that is lost, for findings about one: these end only where profiles show it again."""


def make_finding(
    step: StepDependencies,
    cause: Cause,
    detail: str,
    evidence: str = "",
    policy: Policy | None = None,
    lost_property: str | None = None,
) -> Finding:
    about = policy or HOLD_CAUSES[cause].policy
    return Finding(step.step, cause, detail, f"{cause}:{evidence}", about, lost_property)
