"""Operations of a mapping session that bring fields of the records and targets of the account into its draft."""

from __future__ import annotations

from askel_tui.contract.caps import ALL_STANDARD_ATTRIBUTES
from askel_tui.core.operations import IDENTIFIERS
from askel_tui.tui.screens.mapping import editing, view
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX
from askel_tui.tui.screens.mapping.record_fields import guess_identifiers, likely_field, suggest_mappings
from askel_tui.tui.screens.mapping.session import MappingSession
from askel_tui.tui.screens.mapping.view import IDENTIFIER_PREFIX, DraftRow
from askel_tui.tui.widgets.choice import Choice

CURSOR_ROW = "\0cursor"
"""The choice that stands for the row under the cursor."""

ALL_FIELDS = "*"
"""The choice that stands for all proposals."""


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
    await editing.edit(mapping, row)


def _propose_expression(mapping: MappingSession, name: str) -> str:
    """Proposes an expression for a field of the profile or event; empty where none is likely."""
    proposed = dict(suggest_mappings(mapping.fields, mapping.catalog, mapping.draft)).get(name, "")
    if proposed or not name.startswith(PROPERTY_PREFIX):
        return proposed
    property_name = name.removeprefix(PROPERTY_PREFIX)
    same = next((each.path for each in mapping.fields if each.leaf == property_name), "")
    return same or likely_field(property_name, mapping.fields)


def _step_with_fields(mapping: MappingSession) -> int | None:
    """Returns the step under the cursor if it takes free fields, else the first that does."""
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
        editing.put(mapping, row, path)
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
        editing.put(mapping, row, path)
        return
    name, _, expression = chosen.partition("\0")
    if name.startswith(IDENTIFIER_PREFIX):
        editing.put(mapping, DraftRow(None, name), expression)
    else:
        _write_fields(mapping, [(name, expression)])


async def use_target(mapping: MappingSession, target_type: str, written: str) -> None:
    """Names a target in the row under the cursor, or makes a step of it."""
    row = mapping.display.cursor
    if view.target_type(mapping.draft, row) == target_type:
        editing.put(mapping, row, written)
    elif target_type == "property":
        name = PROPERTY_PREFIX + written
        suggested = suggest_mappings(mapping.fields, mapping.catalog, mapping.draft)
        _write_fields(mapping, [(name, dict(suggested).get(name, ""))])
        await editing.edit(mapping, mapping.display.cursor)
    else:
        kinds = view.STEP_KINDS_BY_TARGET_TYPE[target_type]
        chosen: str | None = kinds[0]
        if len(kinds) > 1:
            choices = [Choice(each, each, editing.STEP_DESCRIPTIONS[each]) for each in kinds]
            chosen = await mapping.prompts.pick(f"What about {written}?", choices)
        if chosen is not None:
            editing.insert_step(mapping, chosen, {target_type: written})
