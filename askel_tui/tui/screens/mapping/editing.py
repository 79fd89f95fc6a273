"""The operations of a mapping session on its draft: what Enter and the keys of the Mapping screen do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from askel_tui.core.operations import IDENTIFIERS, STEP_KINDS
from askel_tui.core.workflows.model import CONSENT_CHANNELS
from askel_tui.core.workflows.step_readers import ALL_STANDARD_ATTRIBUTES
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft, slug, split_list
from askel_tui.tui.screens.mapping.record_fields import (
    complete_expression,
    fullest_record,
    guess_identifiers,
    likely_field,
    record_fields,
    suggest_mappings,
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

CURSOR_ROW = "\0cursor"
"""The choice that stands for the row under the cursor."""

ALL_FIELDS = "*"
"""The choice that stands for all that is proposed."""


async def ask_new_draft(mapping: MappingSession, name: str, connection: str) -> Draft | None:
    """A new draft: asks which event starts it, and guesses identifiers from the fields of its records.

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
    if row.name in ("member", "historical"):
        put(mapping, row, "false" if text == "true" else "true")
        return
    target_type = view.target_type(draft, row)
    if target_type is not None and mapping.catalog is not None:
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


async def _ask_expression(mapping: MappingSession, name: str, text: str) -> str | None:
    return await mapping.prompts.edit_line(
        name.removeprefix(PROPERTY_PREFIX),
        text,
        preview=lambda typed: view.evaluate_text(typed, name, mapping.sample, mapping.catalog),
        complete=lambda typed: complete_expression(typed, mapping.fields),
    )


def _complete_list(typed: str, offered: Sequence[str]) -> list[Choice]:
    """Completions of the last word of a list with commas."""
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
        _insert_step(mapping, kind, {})
        mapping.display.focus_draft()


def _insert_step(mapping: MappingSession, kind: str, fields: dict[str, str]) -> None:
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
        if name.startswith(IDENTIFIER_PREFIX) or name == "when":
            put(mapping, row, "")
        return
    if not name:
        mapping.change(draft.without_step(row.step))
        return
    step = draft.steps[row.step]
    is_free = name.startswith(PROPERTY_PREFIX) or step.kind == "upsert_profile"
    changed = step.without_field(name) if is_free else step.with_field(name, "")
    mapping.change(draft.with_step(row.step, lambda _: changed))


def toggle_clear(mapping: MappingSession) -> None:
    """Makes a null value clear the profile's field under the cursor, or no longer."""
    draft, row = mapping.draft, mapping.display.cursor
    if row.step is None or not row.name or draft.steps[row.step].kind != "upsert_profile":
        mapping.prompts.notify("Only fields of upsert_profile can clear.")
        return
    name = row.name
    mapping.change(draft.with_step(row.step, lambda step: step.with_clear_toggled(name)), row)


# Fields.


async def add_field(mapping: MappingSession) -> None:
    """Asks for a property or attribute of the step, and then for its expression."""
    at = _step_with_fields(mapping)
    if at is None:
        mapping.prompts.notify(
            "Only upsert_profile and track_event take fields of one's own: a adds such a step."
        )
        return
    step = mapping.draft.steps[at]
    if step.kind == "upsert_profile":
        known = mapping.catalog.properties if mapping.catalog else ()
        choices = [Choice(PROPERTY_PREFIX + each.name, each.name, "property that exists") for each in known]
        choices += [Choice(name, name, "attribute") for name in ALL_STANDARD_ATTRIBUTES]
    else:
        choices = [Choice(PROPERTY_PREFIX + each.leaf, each.leaf, each.path) for each in mapping.fields]
    choices = [each for each in choices if each.value not in step.fields]
    chosen = await mapping.prompts.pick(
        "Which field?", choices, detail="A new name becomes a property.", allow_typed=True
    )
    if chosen is None:
        return
    is_known = chosen in {each.value for each in choices} or chosen in ALL_STANDARD_ATTRIBUTES
    name = chosen if is_known else PROPERTY_PREFIX + chosen
    row = DraftRow(at, name)
    mapping.display.focus_draft()
    proposed = _propose_expression(mapping, name)
    mapping.change(mapping.draft.with_step(at, lambda each: each.with_field(name, proposed)), row)
    await edit(mapping, row)


def _propose_expression(mapping: MappingSession, name: str) -> str:
    """An expression that may fill a field of the profile or event; empty where none looks like it."""
    proposed = dict(suggest_mappings(mapping.fields, mapping.catalog, mapping.draft)).get(name, "")
    if proposed or not name.startswith(PROPERTY_PREFIX):
        return proposed
    property_name = name.removeprefix(PROPERTY_PREFIX)
    same = next((each.path for each in mapping.fields if each.leaf == property_name), "")
    return same or likely_field(property_name, mapping.fields)


def _step_with_fields(mapping: MappingSession) -> int | None:
    """The step under the cursor if it takes free fields, else the first that does."""
    at = mapping.display.cursor.step
    steps = enumerate(mapping.draft.steps)
    fitting = [each for each, step in steps if step.kind in ("upsert_profile", "track_event")]
    return at if at in fitting else fitting[0] if fitting else None


async def suggest(mapping: MappingSession) -> None:
    """Proposes expressions for properties and identifiers; fills all of them or one."""
    guessed = guess_identifiers(mapping.fields)
    found = [
        (IDENTIFIER_PREFIX + name, text)
        for name, text in guessed.items()
        if name not in mapping.draft.profile
    ]
    found += suggest_mappings(mapping.fields, mapping.catalog, mapping.draft)
    if not found:
        mapping.prompts.notify("No field of the records looks like a property that is not written yet.")
        return
    choices = [Choice(ALL_FIELDS, f"All {len(found)}", "")] if len(found) > 1 else []
    for name, text in found:
        cell = view.evaluate_text(text, view.identifier_name(name), mapping.sample, mapping.catalog)
        result = cell if isinstance(cell, str) else cell[0]
        choices.append(Choice(name, f"{view.row_label(name)} ← {text}", result))
    chosen = await mapping.prompts.pick("Fill which?", choices)
    if chosen is not None:
        _write_fields(mapping, [each for each in found if chosen in (ALL_FIELDS, each[0])])


def _write_fields(mapping: MappingSession, fields: list[tuple[str, str]]) -> None:
    """Sets identifiers (`profile.NAME`) of the workflow, and other fields of the profile.

    These go into the upsert under the cursor, else into the first one, else into a new one at the top.
    """
    draft, at = mapping.draft, mapping.display.cursor.step
    for name, text in fields:
        if name.startswith(IDENTIFIER_PREFIX):
            draft = draft.with_identifier(view.identifier_name(name), text)
    fields = [each for each in fields if not each[0].startswith(IDENTIFIER_PREFIX)]
    if not fields:
        mapping.change(draft)
        return
    upserts = [each for each, step in enumerate(draft.steps) if step.kind == "upsert_profile"]
    if not upserts:
        draft, upserts = draft.with_new_step("upsert_profile", 0), [0]
    to = at if at in upserts else upserts[0]
    step = draft.steps[to]
    for name, text in fields:
        step = step.with_field(name, text)
    mapping.change(draft.with_step(to, lambda _: step), DraftRow(to, fields[-1][0]))


async def use_field(mapping: MappingSession, path: str) -> None:
    """Puts a field of the records into the row under the cursor, or asks where it goes."""
    row, draft = mapping.display.cursor, mapping.draft
    fits_cursor = view.is_expression(draft, row) and row.name != "when"
    text = view.row_text(draft, row) if fits_cursor else ""
    if fits_cursor and text in ("", path):
        put(mapping, row, path)
        return
    field = next(each for each in mapping.fields if each.path == path)
    label = f"{view.row_label(row.name or '')}, the row under the cursor"
    choices = [Choice(CURSOR_ROW, label, f"instead of {text}")] if fits_cursor else []
    choices += [
        Choice(f"{name}\0{expression}", view.row_label(name), f"← {expression}")
        for name, expression in suggest_mappings([field], mapping.catalog, draft)
    ]
    choices += [
        Choice(f"{IDENTIFIER_PREFIX}{name}\0{path}", name, "who the record is about") for name in IDENTIFIERS
    ]
    own = f"{PROPERTY_PREFIX}{field.leaf}\0{path}"
    choices.append(Choice(own, f"a property called {field.leaf}", f"← {path}"))
    chosen = await mapping.prompts.pick(f"Where does {path} go?", choices)
    if chosen is None:
        return
    if chosen == CURSOR_ROW:
        put(mapping, row, path)
        return
    name, _, expression = chosen.partition("\0")
    if name.startswith(IDENTIFIER_PREFIX):
        put(mapping, DraftRow(None, name), expression)
    else:
        _write_fields(mapping, [(name, expression)])


async def use_target(mapping: MappingSession, target_type: str, written: str) -> None:
    """Names a target in the row under the cursor, or makes a step of it."""
    row = mapping.display.cursor
    if view.target_type(mapping.draft, row) == target_type:
        put(mapping, row, written)
    elif target_type == "property":
        name = PROPERTY_PREFIX + written
        suggested = suggest_mappings(mapping.fields, mapping.catalog, mapping.draft)
        _write_fields(mapping, [(name, dict(suggested).get(name, ""))])
        await edit(mapping, mapping.display.cursor)
    else:
        kinds = view.STEP_KINDS_BY_TARGET_TYPE[target_type]
        chosen: str | None = kinds[0]
        if len(kinds) > 1:
            choices = [Choice(each, each, STEP_DESCRIPTIONS[each]) for each in kinds]
            chosen = await mapping.prompts.pick(f"What about {written}?", choices)
        if chosen is not None:
            _insert_step(mapping, chosen, {target_type: written})
