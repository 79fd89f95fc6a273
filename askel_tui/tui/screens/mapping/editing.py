"""The operations of a mapping session on the rows and steps of its draft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from askel_tui.core.operations import STEP_KINDS
from askel_tui.core.workflows.model import CONSENT_CHANNELS
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft, slug, split_list
from askel_tui.tui.screens.mapping.record_fields import (
    complete_expression,
    fullest_record,
    guess_identifiers,
    record_fields,
)
from askel_tui.tui.screens.mapping.session import MappingSession
from askel_tui.tui.screens.mapping.view import IDENTIFIER_PREFIX, DraftRow
from askel_tui.tui.widgets.choice import Choice

STEP_DESCRIPTIONS = {
    "upsert_profile": "writes attributes and properties",
    "add_to_list": "puts the profile on a list; gives no consent",
    "remove_from_list": "takes the profile off a list",
    "track_event": "sends an event",
    "trigger_flow": "fires a flow through its list or metric",
    "subscribe": "gives consent on channels",
    "unsubscribe": "takes consent away",
    "require_segment": "a gate: else the steps below are skipped",
}


PHONE_QUESTIONS = {
    view.IF_BAD: "What becomes of a phone number that is none?",
    view.SHARED_PHONE: "What becomes of a phone number that another person has?",
}


async def ask_new_draft(mapping: MappingSession, name: str, connection: str) -> Draft | None:
    """Makes a new draft: asks which event starts it, and guesses identifiers from the fields of its records.

    None where no event was named.
    """
    choices = [Choice(each, each, "came in") for each in mapping.events]
    detail = (
        "" if choices else "No record has come in: type the name of its event. Or Esc, and i takes in a file."
    )
    question = "Which event starts it?"
    event = await mapping.prompts.pick(question, choices, detail=detail, allow_typed=True)
    if event is None:
        return None
    await mapping.read_records((event,))
    records = [each for each in mapping.records if each.get("event") == event]
    # The fullest record comes first: its values are the samples.
    records = [*records[fullest_record(records) :][:1], *records]
    return Draft(slug(name), connection, (event,), "", guess_identifiers(record_fields(records)))


async def edit(mapping: MappingSession, row: DraftRow) -> None:
    """Edits a row: turns a flag, asks for a target, or for a line."""
    draft = mapping.draft
    text = view.row_text(draft, row)
    if row.name in ("member", "historical", "everywhere", "resubscribe", "refuse"):
        put(mapping, row, "false" if text == "true" else "true")
        return
    target_type = view.target_type(draft, row)
    if row.step is None and row.name is not None and row.name in view.PHONE_RULES:
        edited = await _ask_phone_rule(mapping, row.name, text)
    elif target_type is not None and mapping.catalog is not None:
        edited = await _ask_target(mapping, target_type, text)
    elif view.is_expression(draft, row):
        edited = await _ask_expression(mapping, view.identifier_name(row.name), text)
    else:
        offered = {"trigger": mapping.events, "channels": [*CONSENT_CHANNELS]}.get(row.name or "", [])
        label = row.name or "id of the step"
        edited = await mapping.prompts.edit_line(
            label, text, complete=lambda typed: _complete_list(typed, offered)
        )
    if edited is not None:
        if row.step is None and row.name == "trigger":
            await mapping.read_records(split_list(edited))
        put(mapping, row, edited)


async def _ask_target(mapping: MappingSession, target_type: str, text: str) -> str | None:
    assert mapping.catalog is not None
    choices = [
        Choice(written, name, mark if isinstance(mark, str) else mark[0])
        for type_, written, name, mark in view.list_targets(mapping.catalog, mapping.draft)
        if type_ == target_type
    ]
    return await mapping.prompts.pick(
        f"Which {target_type}?", choices, preselected=text, allow_typed=True, case_sensitive=False
    )


async def _ask_phone_rule(mapping: MappingSession, name: str, text: str) -> str | None:
    default = view.default_rule(mapping.draft, name)
    choices = [
        Choice(each, each, f"{does}{', as without a word' if each == default else ''}")
        for each, does in view.PHONE_RULES[name].items()
    ]
    question = PHONE_QUESTIONS[name]
    return await mapping.prompts.pick(question, choices, preselected=text or default)


async def _ask_expression(mapping: MappingSession, name: str, text: str) -> str | None:
    return await mapping.prompts.edit_line(
        name.removeprefix(PROPERTY_PREFIX),
        text,
        preview=lambda typed: view.evaluate_text(typed, name, mapping.sample, mapping.catalog),
        complete=lambda typed: complete_expression(typed, mapping.fields),
    )


def _complete_list(typed: str, offered: Sequence[str]) -> list[Choice]:
    """Returns completions of the last word of a list with commas."""
    before, comma, token = typed.rpartition(",")
    present = split_list(before)
    lead = f"{before}{comma} " if comma else ""
    return [
        Choice(lead + each, each)
        for each in offered
        if each not in present and token.strip() in each and each != token.strip()
    ]


def put(mapping: MappingSession, row: DraftRow, text: str) -> None:
    """Sets the text of a row."""
    draft, name = mapping.draft, row.name or ""
    if row.step is not None:
        changed = draft.with_step(
            row.step,
            lambda step: step.with_field(name, text) if name else replace(step, id=slug(text)),
        )
    elif name.startswith(IDENTIFIER_PREFIX):
        changed = draft.with_identifier(view.identifier_name(name), text)
    elif name == "workflow":
        changed = replace(draft, name=slug(text))
    elif name == view.IF_BAD:
        changed = draft.with_bad_left_out(text == "leave_out")
    elif name == view.SHARED_PHONE:
        changed = replace(draft, shared_phone=text)
    elif name == "trigger":
        changed = replace(draft, triggers=tuple(split_list(text)))
    else:
        changed = replace(draft, when=text)
    mapping.change(changed, row)


# Steps.


async def add_step(mapping: MappingSession) -> None:
    """Asks for the kind of a new step and inserts it."""
    choices = [Choice(kind, kind, STEP_DESCRIPTIONS[kind]) for kind in STEP_KINDS]
    kind = await mapping.prompts.pick("What does the step do?", choices)
    if kind is not None:
        insert_step(mapping, kind, {})
        mapping.display.focus_draft()


def insert_step(mapping: MappingSession, kind: str, fields: dict[str, str]) -> None:
    """Inserts a step after the one under the cursor, or at the end."""
    draft, row = mapping.draft, mapping.display.cursor
    at = len(draft.steps) if row.step is None else row.step + 1
    changed = draft.with_new_step(kind, at, fields)
    first = next(iter({**fields, **dict.fromkeys(draft.with_new_step(kind, at).steps[at].fields)}), None)
    mapping.change(changed, DraftRow(at, first))


def move_step(mapping: MappingSession, by: int) -> None:
    """Moves the step under the cursor up (-1) or down (1)."""
    draft, row = mapping.draft, mapping.display.cursor
    if row.step is not None:
        to = min(max(0, row.step + by), len(draft.steps) - 1)
        mapping.change(draft.with_step_moved(row.step, by), DraftRow(to, row.name))


def remove(mapping: MappingSession) -> None:
    """Removes the field, identifier or step under the cursor."""
    draft, row = mapping.draft, mapping.display.cursor
    name = row.name or ""
    if row.step is None:
        if name.startswith(IDENTIFIER_PREFIX) or name in ("when", *view.PHONE_RULES):
            put(mapping, row, "")
        return
    if not name:
        mapping.change(draft.without_step(row.step))
        return
    step = draft.steps[row.step]
    is_free = name.startswith(PROPERTY_PREFIX) or step.kind == "upsert_profile"
    changed = step.without_field(name) if is_free else step.with_field(name, "")
    mapping.change(draft.with_step(row.step, lambda _: changed))


def turn_literal(mapping: MappingSession) -> None:
    """Lets the name under the cursor be meant as text, though it looks like an expression, or no longer."""
    draft, row = mapping.draft, mapping.display.cursor
    name = row.name or ""
    if row.step is None or name not in view.NAME_FIELDS or name not in draft.steps[row.step].fields:
        mapping.prompts.notify(
            "Only names of lists, segments, flows, metrics and sources can be meant as text."
        )
        return
    mapping.change(draft.with_step(row.step, lambda step: step.with_literal_turned(name)), row)


def choose_clear(mapping: MappingSession) -> None:
    """Lets the profile's field under the cursor clear on null, if missing, on both, or never."""
    draft, row = mapping.draft, mapping.display.cursor
    if row.step is None or not row.name or draft.steps[row.step].kind != "upsert_profile":
        mapping.prompts.notify("Only fields of upsert_profile can clear.")
        return
    name = row.name
    mapping.change(draft.with_step(row.step, lambda step: step.with_next_clear(name)), row)
