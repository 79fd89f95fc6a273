"""Editing on the Mapping screen: what Enter and the keys do to the draft."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from askel_tui.core.operations import IDENTIFIERS, STEP_KINDS
from askel_tui.core.workflows.model import CONSENT_CHANNELS
from askel_tui.core.workflows.step_readers import ALL_STANDARD_ATTRIBUTES
from askel_tui.tui.screens.mapping import record_fields as found_in
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import PROPERTY_PREFIX, Draft, StepDraft, slug, split_list
from askel_tui.tui.screens.mapping.view import DraftRow
from askel_tui.tui.widgets.expression_input import ExpressionInput
from askel_tui.tui.widgets.picker import Choice, Picker

if TYPE_CHECKING:
    from askel_tui.tui.screens.mapping.screen import MappingScreen

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


HERE = "\0here"
"""The row under the cursor, among the places where a field may go."""


async def begin_draft(screen: MappingScreen, name: str, connection: str) -> Draft | None:
    """A new draft: its trigger is picked from the events that came in, identifiers are guessed from their fields.

    None where no event was named.
    """
    choices = [Choice(each, each, "came in") for each in screen.events]
    detail = (
        "" if choices else "No record has come in: type the name of its event. Or Esc, and i takes in a file."
    )
    event = await screen.ask(Picker("Which event starts it?", choices, detail=detail, allow_typed=True))
    if event is None:
        return None
    await screen.read_records((event,))
    draft = Draft(slug(name), connection, (event,))
    fitting = [each for each in screen.records if each.get("event") == event]
    fitting.insert(0, *fitting[found_in.fullest_record(fitting) :][:1]) if fitting else None
    return Draft(
        draft.name,
        connection,
        draft.triggers,
        "",
        found_in.guess_identifiers(found_in.record_fields(fitting)),
    )


async def edit(screen: MappingScreen, place: DraftRow) -> None:
    """Edits a row in the way that fits it."""
    draft, text = screen.draft, view.row_text(screen.draft, place)
    kind = view.target_type(draft, place)
    if place.name in ("member", "historical"):
        put(screen, place, "false" if text == "true" else "true")
        return
    if kind is not None and screen.catalog is not None:
        found = [each for each in view.list_targets(screen.catalog, draft) if each[0] == kind]
        choices = [
            Choice(written, name, mark if isinstance(mark, str) else mark[0])
            for _, written, name, mark in found
        ]
        chosen = await screen.ask(
            Picker(f"Which {kind}?", choices, preselected=text, allow_typed=True, case_sensitive=False)
        )
    elif view.is_expression(draft, place):
        name = (place.name or "").removeprefix("profile.")
        chosen = await screen.ask(
            ExpressionInput(
                name.removeprefix(PROPERTY_PREFIX),
                text,
                preview=lambda typed: view.evaluate_text(typed, name, screen.record, screen.catalog),
                complete=lambda typed: found_in.complete_expression(typed, screen.sources),
            )
        )
    else:
        offered = {"trigger": screen.events, "channels": [*CONSENT_CHANNELS]}.get(place.name or "", [])
        chosen = await screen.ask(
            ExpressionInput(
                place.name or "id of the step", text, complete=lambda typed: _next_word(typed, offered)
            )
        )
    if chosen is not None:
        if place.step is None and place.name == "trigger":
            await screen.read_records(split_list(chosen))
        put(screen, place, chosen)


def _next_word(typed: str, offered: list[str]) -> list[Choice]:
    """Words that may follow the commas."""
    before, comma, token = typed.rpartition(",")
    given = split_list(before)
    lead = f"{before}{comma} " if comma else ""
    return [
        Choice(lead + each, each)
        for each in offered
        if each not in given and token.strip() in each and each != token.strip()
    ]


def put(screen: MappingScreen, place: DraftRow, text: str) -> None:
    """Sets the text of a row."""
    draft, name = screen.draft, place.name or ""
    if place.step is not None:
        if name:
            changed = draft.with_step(place.step, lambda step: step.with_field(name, text))
        else:
            changed = draft.with_step(
                place.step, lambda step: StepDraft(slug(text), step.kind, step.fields, step.clears)
            )
    elif name.startswith("profile."):
        changed = draft.with_identifier(name.removeprefix("profile."), text)
    else:
        match name:
            case "workflow":
                changed = replace(draft, name=slug(text))
            case "trigger":
                changed = replace(draft, triggers=tuple(split_list(text)))
            case _:
                changed = replace(draft, when=text)
    screen.change(changed, place)


async def add_step(screen: MappingScreen) -> None:
    """Asks for the kind of a new step, which comes after the one under the cursor."""
    choices = [Choice(kind, kind, STEP_DESCRIPTIONS[kind]) for kind in STEP_KINDS]
    kind = await screen.ask(Picker("What does the step do?", choices))
    if kind is not None:
        insert(screen, kind, {})
        screen.to_draft()


def insert(screen: MappingScreen, kind: str, fields: dict[str, str]) -> None:
    """A new step after the one under the cursor, or at the end."""
    place = screen.place
    at = len(screen.draft.steps) if place.step is None else place.step + 1
    first = next(
        iter({**fields, **dict.fromkeys(screen.draft.with_new_step(kind, at).steps[at].fields)}), None
    )
    screen.change(screen.draft.with_new_step(kind, at, fields), DraftRow(at, first))


async def add_field(screen: MappingScreen) -> None:
    """Asks for a property or attribute, and then what it holds."""
    at = _writing_step(screen)
    if at is None:
        screen.toasts.show(
            "Only upsert_profile and track_event take fields of one's own: a adds such a step."
        )
        return
    step = screen.draft.steps[at]
    choices = []
    if step.kind == "upsert_profile":
        known = screen.catalog.properties if screen.catalog else ()
        choices = [Choice(PROPERTY_PREFIX + each.name, each.name, "property that exists") for each in known]
        choices += [Choice(name, name, "attribute") for name in ALL_STANDARD_ATTRIBUTES]
    else:
        choices = [Choice(PROPERTY_PREFIX + each.leaf, each.leaf, each.path) for each in screen.sources]
    choices = [each for each in choices if each.value not in step.fields]
    chosen = await screen.ask(
        Picker("Which field?", choices, detail="A new name becomes a property.", allow_typed=True)
    )
    if chosen is None:
        return
    name = (
        chosen
        if chosen in {each.value for each in choices} or chosen in ALL_STANDARD_ATTRIBUTES
        else PROPERTY_PREFIX + chosen
    )
    offered = dict(found_in.suggest_mappings(screen.sources, screen.catalog, screen.draft)).get(name, "")
    if not offered:
        offered = next((each.path for each in screen.sources if PROPERTY_PREFIX + each.leaf == name), "")
    if not offered and name.startswith(PROPERTY_PREFIX):
        offered = found_in.likely_field(name.removeprefix(PROPERTY_PREFIX), screen.sources)
    place = DraftRow(at, name)
    screen.to_draft()
    screen.change(screen.draft.with_step(at, lambda each: each.with_field(name, offered)), place)
    await edit(screen, place)


def _writing_step(screen: MappingScreen) -> int | None:
    """The step under the cursor if it takes fields, else the first that does."""
    steps, at = screen.draft.steps, screen.place.step
    takes = [place for place, step in enumerate(steps) if step.kind in ("upsert_profile", "track_event")]
    return at if at in takes else takes[0] if takes else None


async def suggest(screen: MappingScreen) -> None:
    """Proposes what the fields may fill, and who the records are about; all of it, or one."""
    guessed = found_in.guess_identifiers(screen.sources)
    found = [(f"profile.{name}", text) for name, text in guessed.items() if name not in screen.draft.profile]
    found += found_in.suggest_mappings(screen.sources, screen.catalog, screen.draft)
    if not found:
        screen.toasts.show("No field of the records looks like a property that is not written yet.")
        return
    choices = [Choice("*", f"All {len(found)}", "")] if len(found) > 1 else []
    for name, text in found:
        cell = view.evaluate_text(text, name.removeprefix("profile."), screen.record, screen.catalog)
        given = cell if isinstance(cell, str) else cell[0]
        shown = name.removeprefix("profile.").removeprefix(PROPERTY_PREFIX)
        choices.append(Choice(name, f"{shown} ← {text}", given))
    chosen = await screen.ask(Picker("Fill which?", choices))
    if chosen is not None:
        write(screen, [each for each in found if chosen in ("*", each[0])])


def write(screen: MappingScreen, fields: list[tuple[str, str]]) -> None:
    """Sets fields of the profile: in the upsert under the cursor, else the first, else a new one at the top.

    Identifiers, `profile.NAME`, are the workflow's.
    """
    draft, at = screen.draft, screen.place.step
    for name, text in fields:
        if name.startswith("profile."):
            draft = draft.with_identifier(name.removeprefix("profile."), text)
    fields = [each for each in fields if not each[0].startswith("profile.")]
    if not fields:
        screen.change(draft)
        return
    upserts = [place for place, step in enumerate(draft.steps) if step.kind == "upsert_profile"]
    if not upserts:
        draft, upserts = draft.with_new_step("upsert_profile", 0), [0]
    to = at if at in upserts else upserts[0]
    for name, text in fields:
        draft = draft.with_step(to, lambda step, name=name, text=text: step.with_field(name, text))  # type: ignore[misc]
    screen.change(draft, DraftRow(to, fields[-1][0]))


async def use_field(screen: MappingScreen, path: str) -> None:
    """Puts a field of the records into the row under the cursor, or asks where it goes."""
    place, draft = screen.place, screen.draft
    here = view.is_expression(draft, place) and place.name != "when"
    text = view.row_text(draft, place) if here else ""
    if here and text in ("", path):
        put(screen, place, path)
        return
    source = next(each for each in screen.sources if each.path == path)
    offers = found_in.suggest_mappings([source], screen.catalog, draft)
    choices = [Choice(HERE, _label(place), f"instead of {text}")] if here else []
    choices += [
        Choice(f"{name}\0{text}", name.removeprefix(PROPERTY_PREFIX), f"← {text}") for name, text in offers
    ]
    choices += [Choice(f"profile.{name}\0{path}", name, "who the record is about") for name in IDENTIFIERS]
    choices.append(
        Choice(f"{PROPERTY_PREFIX}{source.leaf}\0{path}", f"a property called {source.leaf}", f"← {path}")
    )
    chosen = await screen.ask(Picker(f"Where does {path} go?", choices))
    if chosen is None:
        return
    if chosen == HERE:
        put(screen, place, path)
        return
    name, _, text = chosen.partition("\0")
    if name.startswith("profile."):
        put(screen, DraftRow(None, name), text)
    else:
        write(screen, [(name, text)])


def _label(place: DraftRow) -> str:
    return f"{(place.name or '').removeprefix('profile.').removeprefix(PROPERTY_PREFIX)}, the row under the cursor"


async def use_target(screen: MappingScreen, kind: str, written: str) -> None:
    """Names a target in the row under the cursor, or makes a step of it."""
    place = screen.place
    if view.target_type(screen.draft, place) == kind:
        put(screen, place, written)
    elif kind == "property":
        name = PROPERTY_PREFIX + written
        offered = dict(found_in.suggest_mappings(screen.sources, screen.catalog, screen.draft)).get(name, "")
        write(screen, [(name, offered)])
        await edit(screen, screen.place)
    else:
        kinds = view.STEP_KINDS_BY_TARGET_TYPE[kind]
        chosen: str | None = kinds[0]
        if len(kinds) > 1:
            choices = [Choice(each, each, STEP_DESCRIPTIONS[each]) for each in kinds]
            chosen = await screen.ask(Picker(f"What about {written}?", choices))
        if chosen is not None:
            insert(screen, chosen, {kind: written})


def remove(screen: MappingScreen) -> None:
    """Takes the field, identifier or step under the cursor away."""
    place, name = screen.place, screen.place.name or ""
    if place.step is None:
        if name.startswith("profile.") or name == "when":
            put(screen, place, "")
        return
    if not name:
        screen.change(screen.draft.without_step(place.step))
        return
    step = screen.draft.steps[place.step]
    own = name.startswith(PROPERTY_PREFIX) or step.kind == "upsert_profile"
    changed = step.without_field(name) if own else step.with_field(name, "")
    screen.change(screen.draft.with_step(place.step, lambda _: changed))


def move(screen: MappingScreen, by: int) -> None:
    """Moves the step under the cursor."""
    at = screen.place.step
    if at is not None:
        to = min(max(0, at + by), len(screen.draft.steps) - 1)
        screen.change(screen.draft.with_step_moved(at, by), DraftRow(to, screen.place.name))


def turn(screen: MappingScreen) -> None:
    """Makes a null clear the profile's field under the cursor, or no longer."""
    place = screen.place
    if place.step is None or not place.name or screen.draft.steps[place.step].kind != "upsert_profile":
        screen.toasts.show("Only fields of upsert_profile can clear.")
        return
    name = place.name
    screen.change(screen.draft.with_step(place.step, lambda step: step.with_clear_toggled(name)), place)
