"""The view of a mapping session: rows of a draft with their results, targets, problems, diffs. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from askel_tui.core.catalog import Catalog, value_type
from askel_tui.core.expressions.expression import EvaluationProblem, ExpressionError, parse_expression
from askel_tui.core.operations import IDENTIFIERS
from askel_tui.core.problems import Problem
from askel_tui.core.workflows.model import DISPENSABLE_IDENTIFIER, NEWEST_RULES
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft
from askel_tui.tui.screens.mapping.record_fields import PHONE
from askel_tui.tui.widgets.rows import Cell, Row

IDENTIFIER_PREFIX = "profile."
"""The beginning of the names of rows with identifiers."""

CLEAR_LABELS = {"null": "clears on null", "missing": "clears if missing", "both": "clears"}
"""What a field says of when it clears."""
LITERAL_LABEL = "as text"
"""What a field says whose name is meant as text, whatever it looks like."""

NAME_FIELDS = ("list", "segment", "flow", "metric", "custom_source")
"""The fields of steps that hold a name."""

IF_BAD, SHARED_PHONE = "if_bad", "on_shared_phone"
PHONE_RULES: Mapping[str, Mapping[str, str]] = {
    IF_BAD: {"fail": "the record fails", "leave_out": "it is left out"},
    SHARED_PHONE: {
        "leave_out": "it is left out",
        "fail": "the record fails",
        "go_on": "it is written",
    },
}
"""What the rows about phone numbers may say, and what it does."""

EXPRESSION_FIELDS = ("when", "value", "value_currency", "time", "consented_at", "consent_at")
"""The fields of workflows and steps that hold expressions; so do identifiers, attributes and properties."""

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
        """The key of the row in the table."""
        return f"{'' if self.step is None else self.step}\0{self.name or ''}"

    @classmethod
    def from_key(cls, key: str | None) -> DraftRow | None:
        """Makes the row of a key."""
        if key is None:
            return None
        step, _, name = key.partition("\0")
        return cls(int(step) if step else None, name or None)


def identifier_name(name: str | None) -> str:
    """Removes the prefix of identifiers from the name of a row."""
    return (name or "").removeprefix(IDENTIFIER_PREFIX)


def row_label(name: str) -> str:
    """Returns the name of a row for people."""
    return identifier_name(name).removeprefix(PROPERTY_PREFIX)


def draft_rows(draft: Draft) -> list[DraftRow]:
    """Lists all rows of a draft, in order."""
    head = ["workflow", "trigger", "when", *(IDENTIFIER_PREFIX + name for name in IDENTIFIERS)]
    if draft.uses_phone:
        head.insert(head.index(IDENTIFIER_PREFIX + DISPENSABLE_IDENTIFIER) + 1, IF_BAD)
        head.append(SHARED_PHONE)
    found = [DraftRow(None, name) for name in head]
    for at, step in enumerate(draft.steps):
        found += [DraftRow(at, None), *(DraftRow(at, name) for name in step.fields)]
    return found


def row_text(draft: Draft, row: DraftRow) -> str:
    """Returns the text of a row."""
    name = row.name or ""
    if row.step is not None:
        step = draft.steps[row.step]
        return step.fields.get(name, "") if name else step.id
    if name.startswith(IDENTIFIER_PREFIX):
        return draft.profile.get(identifier_name(name), "")
    return {
        "workflow": draft.name,
        "trigger": ", ".join(draft.triggers),
        "when": draft.when,
        IF_BAD: "leave_out" if draft.dispensable else "",
        SHARED_PHONE: draft.shared_phone,
    }[name]


def default_rule(draft: Draft, name: str) -> str:
    """Returns what a row about phone numbers means that says nothing."""
    if name == IF_BAD:
        return "fail"
    return "leave_out" if draft.rules >= NEWEST_RULES else "go_on"


def is_expression(draft: Draft, row: DraftRow) -> bool:
    """Checks whether a row holds an expression over the record."""
    name = row.name or ""
    if row.step is not None and draft.steps[row.step].kind == "upsert_profile":
        return bool(name)
    return name in EXPRESSION_FIELDS or name.startswith((PROPERTY_PREFIX, IDENTIFIER_PREFIX))


def target_type(draft: Draft, row: DraftRow) -> str | None:
    """Returns the type of target that a row names: list, segment, flow, metric."""
    if row.step is None or row.name not in SECTION_BY_TARGET_TYPE:
        return None
    return row.name


def table_rows(
    draft: Draft, record: Mapping[str, Any] | None, catalog: Catalog | None, problems: Sequence[Problem]
) -> list[Row]:
    """Makes the table's rows of a draft: name, text, and its value for the record or its state in the account."""
    wrong = {row.key for row in (row_of_problem(draft, each) for each in problems) if row}
    found: list[Row] = []
    for row in draft_rows(draft):
        text = row_text(draft, row)
        if row.step is not None and row.name is None:
            step = draft.steps[row.step]
            label: Cell = (f"{row.step + 1} {step.kind}", "bold $primary")
            cells: list[Cell] = [label, (step.id, "bold"), ""]
        else:
            name = row_label(row.name or "")
            clear = draft.steps[row.step].clears.get(row.name or "") if row.step is not None else None
            literal = row.step is not None and row.name in draft.steps[row.step].literals
            label = f"{'  ' if row.step is not None else ''}{name}"
            cells = [
                label,
                f"{CLEAR_LABELS[clear]}: {text}"
                if clear
                else f"{LITERAL_LABEL}: {text}"
                if literal
                else text,
                row_result(draft, row, record, catalog),
            ]
        if row.key in wrong:
            first = cells[0]
            cells[0] = (f"✗ {(first[0] if isinstance(first, tuple) else first).strip()}", "bold $error")
        found.append((row.key, tuple(cells)))
    return found


def row_result(
    draft: Draft, row: DraftRow, record: Mapping[str, Any] | None, catalog: Catalog | None
) -> Cell:
    """Returns the result of a row's text: a value for the record, or whether the target exists."""
    text, name = row_text(draft, row), row.name or ""
    if row.step is None and name in PHONE_RULES:
        return PHONE_RULES[name][text or default_rule(draft, name)], "$foreground-muted"
    if not text:
        return ""
    kind = target_type(draft, row)
    if kind is not None:
        return target_status(kind, text, catalog)
    if is_expression(draft, row):
        return evaluate_text(text, identifier_name(row.name), record, catalog)
    return ""


def target_status(kind: str, named: str, catalog: Catalog | None) -> Cell:
    """Describes whether a target exists, will be created, or is gone."""
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
    """Evaluates an expression for a record; returns its value, and why that would not fit the field `name`."""
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
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    warning = _mismatch(value, name, catalog)
    return (f"! {text}: {warning}", "$warning") if warning else (f"→ {text}", "$success")


def _mismatch(value: Any, name: str, catalog: Catalog | None) -> str | None:
    """Describes why a value does not fit a field, where that is known."""
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
    """Names the kind of a JSON value, as in the catalog's properties."""
    return value_type(value)


# Targets.


def list_targets(catalog: Catalog, draft: Draft) -> list[tuple[str, str, str, Cell]]:
    """Lists all targets as (type, text in a workflow, name, state); those that the draft names come first."""
    found: list[tuple[str, str, str, Cell]] = []
    used = _targets_in_use(draft)
    for kind, section in SECTION_BY_TARGET_TYPE.items():
        entries: Sequence[Any] = getattr(catalog, section)
        names = [each.name for each in entries]
        for each in entries:
            # Of two with one name, each is written by its id.
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
    """Finds the row of a problem, or the nearest one that exists."""
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


def problem_cells(problem: Problem) -> tuple[str, str]:
    """Returns the location of a problem, and the problem itself."""
    where = " › ".join(each for each in (problem.step, problem.field) if each)
    hint = f". Did you mean {problem.suggestion}?" if problem.suggestion else ""
    return where or "workflow", f"{problem.message.rstrip('.') if hint else problem.message}{hint}"


def diff_lines(before: str, after: str, before_name: str, after_name: str) -> list[tuple[str, str]]:
    """Makes the lines of a diff with their styles; one line where there is none."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), before_name, after_name, lineterm="")
    styles = {"+": "$success", "-": "$error", "@": "$accent"}
    found = [(line, styles.get(line[:1], "")) for line in lines]
    return found or [("They say the same.", "$foreground-muted")]
