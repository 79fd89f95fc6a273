"""Rehearses the plan of a record against a simulated account: what would become of each of its operations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from askel_tui.core.operations import Operation
from askel_tui.core.planning.disposition import Disposition
from askel_tui.core.planning.plan import Plan
from askel_tui.core.planning.shared_phones import PhoneOwners
from askel_tui.core.planning.simulated_account import Effect, SimulatedAccount
from askel_tui.core.problems import Problem
from askel_tui.core.workflows.model import OnSharedPhone

PHONE_FIELD = "profile.phone_number"

NEW_PROFILE_LABEL = "a new one"
"""The text that stands for the id of a profile that an earlier record would make."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A step that would be skipped, and why."""

    step: str
    why: str


@dataclass(frozen=True, slots=True)
class RehearsedOperation:
    """An operation that would be sent, or may be, with its effect; a gate among them is read."""

    operation: Operation
    effect: Effect

    @property
    def depends(self) -> str | None:
        """What it hangs on whether the operation is sent, or which answer a gate gets."""
        return self.effect.disposition.why if self.effect.disposition.kind == "depends" else None

    @property
    def passes(self) -> bool | None:
        """Whether a gate lets the steps below it run; None for other operations, and where it can't be known."""
        kind = self.effect.disposition.kind
        return kind == "send" if self.operation.is_gate and kind in ("send", "skip") else None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would become of a record under a workflow."""

    operations: tuple[RehearsedOperation, ...]
    skipped: tuple[Skip, ...]
    problems: tuple[Problem, ...]
    known: bool
    """True if the account has the record's profile before the first operation."""
    warnings: tuple[Problem, ...] = ()
    """What does not stop the record, each once, with the kind that it is counted under."""
    refused: int = 0
    """The number of subscriptions that are refused, at least on some channels, for an opt-out."""

    @property
    def creates_profile(self) -> bool:
        """True if the record would make its profile."""
        return any(each.effect.creates_profile for each in self.operations)


def rehearse(
    planned: Plan,
    account: SimulatedAccount,
    phones: PhoneOwners | None = None,
    on_shared_phone: OnSharedPhone = "go_on",
) -> Rehearsal:
    """Applies the operations of a plan to the account, in order, as far as live would send them.

    `phones` says who has which phone number; without it every number is its record's own.
    """
    phones = phones or PhoneOwners({})
    known: bool | None = None
    warnings = dict.fromkeys(planned.warnings)
    operations: list[RehearsedOperation] = []
    skipped: list[Skip] = []
    problems = list(planned.problems)
    depends: str | None = None
    refused = 0
    for number, wanted in enumerate(planned.operations):
        later = planned.operations[number + 1 :]
        decision = phones.decide(wanted, on_shared_phone)
        if decision.warning is not None:
            warning_kind, sentence = decision.warning
            warnings[Problem(sentence, PHONE_FIELD, kind=warning_kind)] = None
        if decision.failure is not None:
            problems.append(Problem(decision.failure, PHONE_FIELD, wanted.step))
            skipped += _skips(later, wanted, f"step {wanted.step} would fail")
            break
        if decision.operation is None:
            skipped.append(Skip(wanted.step, decision.skip or ""))
            continue
        operation = decision.operation
        if known is None:
            known = account.find(operation.profile) is not None
        effect = account.apply(operation, depends=depends)
        kind, why = effect.disposition.kind, effect.disposition.why
        if operation.is_gate:
            operations.append(RehearsedOperation(operation, effect))
            if kind in ("skip", "wait"):
                skipped += _skips(later, operation, f"gate {operation.step}: {why}")
                break
            if kind == "depends" and depends is None:
                depends = f"gate {operation.step}: {why}"
            continue
        if kind in ("skip", "wait"):
            refused += bool(effect.disposition.refused)
            skipped.append(Skip(operation.step, why if kind == "skip" else f"{why}; the step would wait"))
            continue
        if kind == "refuse" and depends is not None:
            open_end = Disposition("depends", f"{depends}; then it would be refused: {why}")
            operations.append(RehearsedOperation(operation, replace(effect, disposition=open_end)))
            skipped += _skips(later, operation, f"step {operation.step} would be refused")
            break
        problem = _refusal(operation, effect)
        if kind != "refuse":
            operations.append(RehearsedOperation(operation, effect))
            refused += kind != "depends" and bool(effect.disposition.refused)
        if problem is not None:
            problems.append(problem)
            skipped += _skips(later, operation, f"step {operation.step} would be refused")
            break
    return Rehearsal(
        tuple(operations), tuple(skipped), tuple(problems), bool(known), tuple(warnings), refused
    )


def _skips(later: Sequence[Operation], after: Operation, why: str) -> list[Skip]:
    """Lists the steps of later operations, each once."""
    steps = dict.fromkeys(each.step for each in later)
    steps.pop(after.step, None)
    return [Skip(step, why) for step in steps]


def _refusal(operation: Operation, effect: Effect) -> Problem | None:
    """Makes the problem of an operation that Klaviyo would refuse: for a value, or for identifiers of several profiles
    (409, docs/klaviyo.md 3.1)."""
    if effect.disposition.kind == "refuse":
        return Problem(effect.disposition.why, field=effect.disposition.field, step=operation.step)
    if not effect.conflicting_profiles:
        return None
    who = ", ".join(operation.profile.identifiers().values())
    ids = " and ".join(
        NEW_PROFILE_LABEL if each.id in (None, "new") else str(each.id)
        for each in effect.conflicting_profiles
    )
    count = len(effect.conflicting_profiles)
    message = f"{who} belong to {count} profiles ({ids}): Klaviyo would refuse the write"
    return Problem(message, field="profile", step=operation.step)
