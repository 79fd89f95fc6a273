"""What the workflow editor shows: rows of a draft, what they give, targets, problems, diffs. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.catalog import Catalog
from askel_tui.core.expressions.expression import EvaluationProblem, ExpressionError, parse_expression
from askel_tui.core.operations import IDENTIFIERS
from askel_tui.core.problems import Problem
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft
from askel_tui.tui.screens.mapping.record_fields import PHONE
from askel_tui.tui.widgets.table import Cell, Row

EXPRESSION_FIELDS = ("when", "value", "value_currency", "time", "consented_at")
"""Fields of workflows and steps that hold expressions; so do identifiers, attributes and properties."""

SECTION_BY_TARGET_TYPE = {
    "list": "lists",
    "segment": "segments",
    "flow": "flows",
    "metric": "metrics",
    "property": "properties",
}

STEP_KINDS_BY_TARGET_TYPE = {
    "list": ("add_to_list", "remove_from_list"),
    "segment": ("require_segment",),
    "flow": ("trigger_flow",),
    "metric": ("track_event",),
}
"""The kinds of step that a target of a type can begin."""

# The draft.


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A row of the editor: of the workflow itself (`step` None) or of a step; `name` None is the step as such."""

    step: int | None
    name: str | None

    @property
    def key(self) -> str:
        """What the row is known by."""
        return f"{'' if self.step is None else self.step}\0{self.name or ''}"

    @classmethod
    def from_key(cls, key: str | None) -> DraftRow | None:
        """The place of a row's key."""
        if key is None:
            return None
        step, _, name = key.partition("\0")
        return cls(int(step) if step else None, name or None)


def draft_rows(draft: Draft) -> list[DraftRow]:
    """All rows of a draft, in order."""
    head = ["workflow", "trigger", "when", *(f"profile.{name}" for name in IDENTIFIERS)]
    found = [DraftRow(None, name) for name in head]
    for at, step in enumerate(draft.steps):
        found += [DraftRow(at, None), *(DraftRow(at, name) for name in step.fields)]
    return found


def row_text(draft: Draft, place: DraftRow) -> str:
    """The text of a row."""
    name = place.name or ""
    if place.step is not None:
        step = draft.steps[place.step]
        return step.fields.get(name, "") if name else step.id
    if name.startswith("profile."):
        return draft.profile.get(name.removeprefix("profile."), "")
    return {"workflow": draft.name, "trigger": ", ".join(draft.triggers), "when": draft.when}[name]


def is_expression(draft: Draft, place: DraftRow) -> bool:
    """Whether a row holds an expression over the record."""
    name = place.name or ""
    if place.step is not None and draft.steps[place.step].kind == "upsert_profile":
        return bool(name)
    return name in EXPRESSION_FIELDS or name.startswith((PROPERTY_PREFIX, "profile."))


def target_type(draft: Draft, place: DraftRow) -> str | None:
    """The type of target that a row names: list, segment, flow, metric."""
    if place.step is None or place.name not in SECTION_BY_TARGET_TYPE:
        return None
    return place.name


def table_rows(
    draft: Draft, record: Mapping[str, Any] | None, catalog: Catalog | None, problems: Sequence[Problem]
) -> list[Row]:
    """The rows of a draft: what it is, what it says, and what that gives for the record or is in the account."""
    wrong = {place.key for place in (row_of_problem(draft, each) for each in problems) if place}
    found: list[Row] = []
    for place in draft_rows(draft):
        text = row_text(draft, place)
        if place.step is not None and place.name is None:
            step = draft.steps[place.step]
            label: Cell = (f"{place.step + 1} {step.kind}", "bold $primary")
            cells: list[Cell] = [label, (step.id, "bold"), ""]
        else:
            name = (place.name or "").removeprefix("profile.").removeprefix(PROPERTY_PREFIX)
            clear = place.step is not None and place.name in draft.steps[place.step].clears
            label = f"{'  ' if place.step is not None else ''}{name}"
            cells = [
                label,
                f"{'clears: ' if clear else ''}{text}",
                row_result(draft, place, record, catalog),
            ]
        if place.key in wrong:
            first = cells[0]
            cells[0] = (f"✗ {(first[0] if isinstance(first, tuple) else first).strip()}", "bold $error")
        found.append((place.key, tuple(cells)))
    return found


def row_result(
    draft: Draft, place: DraftRow, record: Mapping[str, Any] | None, catalog: Catalog | None
) -> Cell:
    """What a row's text gives: a value for the record, or whether the target exists."""
    text = row_text(draft, place)
    if not text:
        return ""
    kind = target_type(draft, place)
    if kind is not None:
        return target_status(kind, text, catalog)
    if is_expression(draft, place):
        return evaluate_text(text, (place.name or "").removeprefix("profile."), record, catalog)
    return ""


def target_status(kind: str, named: str, catalog: Catalog | None) -> Cell:
    """Whether a target exists, will be created, or is gone."""
    if catalog is None:
        return "? the account was not read", "$foreground-muted"
    entries: Sequence[Any] = getattr(catalog, SECTION_BY_TARGET_TYPE[kind])
    fitting = [each for each in entries if named in (each.name, getattr(each, "id", None))]
    if (
        len(fitting) > 1
        and not any(getattr(each, "id", None) == named for each in fitting)
        and kind != "metric"
    ):
        return f"! {len(fitting)} of that name: use the id", "$warning"
    if fitting:
        status = getattr(fitting[0], "status", "live")
        return ("● exists", "$success") if status == "live" else (f"! exists, {status}", "$warning")
    if SECTION_BY_TARGET_TYPE[kind] in catalog.unread:
        return "? the key may not read them", "$warning"
    return ("+ to be created", "$accent") if kind in ("metric", "property") else ("✗ gone", "bold $error")


def evaluate_text(
    text: str, name: str, record: Mapping[str, Any] | None, catalog: Catalog | None = None
) -> Cell:
    """What an expression gives for a record, with what would be wrong with it in that field."""
    try:
        expression = parse_expression(text.strip())
    except ExpressionError as error:
        hint = f" Did you mean {error.suggestion}?" if error.suggestion else ""
        return f"✗ {error.message}{hint}", "$error"
    if record is None:
        return "no record to try it on", "$foreground-muted"
    try:
        value = expression.evaluate(record)
    except EvaluationProblem as problem:
        return f"✗ {problem}", "$error"
    if value is None:
        return "– nothing: left out", "$foreground-muted"
    told = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    warning = _mismatch(value, name, catalog)
    return (f"! {told}: {warning}", "$warning") if warning else (f"→ {told}", "$success")


def _mismatch(value: Any, name: str, catalog: Catalog | None) -> str | None:
    """Why a value does not fit a field, where that can be told."""
    if name == "email" and not (isinstance(value, str) and "@" in value):
        return "no e-mail address"
    if name == "phone_number" and not (isinstance(value, str) and PHONE.fullmatch(value)):
        return "not E.164, use e164(…, 'GB')"
    if name == "external_id" and not isinstance(value, str):
        return "no text, use text(…)"
    if name == "value" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return "no number, use number(…)"
    if name.startswith(PROPERTY_PREFIX) and catalog is not None:
        entry = next((each for each in catalog.properties if PROPERTY_PREFIX + each.name == name), None)
        here = json_kind(value)
        if entry is not None and entry.types and here not in entry.types:
            return f"{here}, where the account has {', '.join(entry.types)}"
    return None


def json_kind(value: Any) -> str:
    """The kind of a JSON value, as the catalog's properties name it."""
    from askel_tui.klaviyo.reads.properties import property_type

    return property_type(value)


# Targets.


def list_targets(catalog: Catalog, draft: Draft) -> list[tuple[str, str, str, Cell]]:
    """All targets as (type, what is written for it, its name, what is said about it); those that are used first."""
    found: list[tuple[str, str, str, Cell]] = []
    used = _targets_in_use(draft)
    for kind, section in SECTION_BY_TARGET_TYPE.items():
        entries: Sequence[Any] = getattr(catalog, section)
        names = [each.name for each in entries]
        for each in entries:
            # Two of one name are told apart by their ids alone.
            written = each.name if kind in ("metric", "property") or names.count(each.name) == 1 else each.id
            mark: Cell = target_status(kind, written, catalog)
            found.append((kind, written, each.name, mark))
        found += [
            (kind, name, name, target_status(kind, name, catalog))
            for used_kind, name in used
            if used_kind == kind
            and name not in names
            and all(name != getattr(each, "id", None) for each in entries)
        ]
    return sorted(found, key=lambda each: (each[0], each[1]) not in used)


def _targets_in_use(draft: Draft) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for step in draft.steps:
        for name, text in step.fields.items():
            if name in SECTION_BY_TARGET_TYPE and text:
                found[name, text] = None
            if step.kind == "upsert_profile" and name.startswith(PROPERTY_PREFIX):
                found["property", name.removeprefix(PROPERTY_PREFIX)] = None
    return list(found)


# Problems and versions.


def row_of_problem(draft: Draft, problem: Problem) -> DraftRow | None:
    """The row that a problem is about, or the nearest one that there is."""
    step = next((at for at, each in enumerate(draft.steps) if each.id == problem.step), None)
    name = problem.field
    if problem.step is not None and step is None and problem.step.isdecimal():
        step = int(problem.step) - 1 if 0 < int(problem.step) <= len(draft.steps) else None
    if step is not None:
        names = draft.steps[step].fields
        if name == draft.steps[step].kind:
            name = next(iter(names), None)
        return DraftRow(step, name if name in names else None)
    wanted = DraftRow(None, name)
    if wanted in draft_rows(draft):
        return wanted
    return DraftRow(None, "profile.email" if name == "profile" else "workflow")


def diff_lines(before: str, after: str, before_name: str, after_name: str) -> list[tuple[str, str]]:
    """The lines of a diff with their styles; one line where there is none."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), before_name, after_name, lineterm="")
    styles = {"+": "$success", "-": "$error", "@": "$accent"}
    found = [(line, styles.get(line[:1], "")) for line in lines]
    return found or [("They say the same.", "$foreground-muted")]
