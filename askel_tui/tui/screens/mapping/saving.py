"""Choosing, saving and comparing the workflow of a mapping session."""

from __future__ import annotations

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_timestamp
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import Draft, draft_from_workflow
from askel_tui.tui.screens.mapping.draft_yaml import to_yaml
from askel_tui.tui.screens.mapping.editing import ask_new_draft
from askel_tui.tui.screens.mapping.session import WORKFLOW_ROW, MappingSession
from askel_tui.tui.widgets.choice import Choice

MAX_PROBLEMS_LISTED = 8
"""The number of problems of an edited file that are listed."""

MAX_PROBLEM_CHARS = 200


async def choose_workflow(mapping: MappingSession) -> None:
    """Asks for another workflow and opens it, or begins a new one."""
    connection, prompts = mapping.connection, mapping.prompts
    if connection is None:
        prompts.notify("Nothing is connected yet: press 2.")
        return
    documents = await mapping.backend.call(queries.workflows)
    choices = [Choice("", "A new workflow", "from the records that came in")]
    choices += [
        Choice(each.workflow, each.workflow, f"version {each.version}")
        for each in documents
        if each.connection == connection
    ]
    chosen = await prompts.pick("Which workflow?", choices, preselected=mapping.draft.name)
    if chosen is None:
        return
    if mapping.is_dirty and not await prompts.confirm("Leave the changes?", "They are not saved."):
        return
    if chosen:
        mapping.memory.remember(f"mapping.unsaved.{connection}", None)
        mapping.memory.remember("mapping.workflow", chosen)
        await mapping.open(connection, chosen)
    else:
        name = await prompts.type_text("Its name?", "Small letters, digits, hyphens.")
        draft = await ask_new_draft(mapping, name, connection) if name else None
        if draft is None:
            return
        mapping.start_from(Draft(connection=connection), "")
        mapping.history.change(draft)
    await mapping.read_records(mapping.draft.triggers)
    mapping.update(WORKFLOW_ROW)
    mapping.display.focus_draft()


async def save(mapping: MappingSession) -> None:
    """Stores a draft version that is checked against the live account; shows the problems instead where there are
    some."""
    from askel_tui.services.workflows import InvalidWorkflow

    backend, prompts, memory = mapping.backend, mapping.prompts, mapping.memory
    draft, text = mapping.draft, mapping.text
    name = draft.name
    applying = backend.call(services.apply, text, f"{name}.yaml", backend.actor)
    try:
        applied = await prompts.with_progress("Checking against the account", applying)
    except InvalidWorkflow as invalid:
        mapping.catalog = await backend.call(queries.catalog, draft.connection) or mapping.catalog
        mapping.update()
        mapping.problems = list(invalid.problems)
        mapping.display.show_problems()
        prompts.notify(str(invalid.problems[0]), title="Not saved", severity="warning")
        return
    mapping.base_draft, mapping.base_text = draft, text
    memory.remember("mapping.workflow", name)
    memory.remember("dry_run.workflow", name)
    mapping.catalog = await backend.call(queries.catalog, draft.connection) or mapping.catalog
    mapping.update()
    for warning in applied.warnings:
        prompts.notify(str(warning), title="Good to know", severity="warning", timeout=10)
    saved = f"{name} is saved as version {applied.document.version}, a draft."
    result = saved if applied.changed else f"{name} says the same already."
    prompts.notify(f"{result} Dry run (5) shows what it would write and goes live.", title="Saved")


async def save_yaml(mapping: MappingSession) -> None:
    """Asks for a file and writes the workflow into it. Raises `OSError`."""
    proposed = f"{mapping.draft.name or 'workflow'}.yaml"
    name = await mapping.prompts.type_text("Save the workflow to which file?", value=proposed)
    file = await mapping.prompts.write_file(name, mapping.text) if name else None
    if file is not None:
        mapping.prompts.notify(f"Written to {file}.", title="Saved")


async def edit_in_editor(mapping: MappingSession) -> None:
    """Opens the YAML in $EDITOR; the text becomes the draft once it can be read. Raises `OSError`."""
    text = mapping.text
    while True:
        edited = mapping.prompts.open_editor(f"{mapping.draft.name or 'workflow'}.yaml", text)
        if edited is None:
            mapping.prompts.notify(
                "This terminal can't be handed to an editor: Y saves a file.", severity="warning"
            )
            return
        text = edited
        workflow, problems = load_workflow(text, "the file")
        if workflow is not None:
            mapping.change(draft_from_workflow(workflow))
            return
        listed = "\n".join(sanitize(str(each), MAX_PROBLEM_CHARS) for each in problems[:MAX_PROBLEMS_LISTED])
        question, detail = "Open the editor again?", f"It can't be taken as it is:\n{listed}"
        if not await mapping.prompts.confirm(question, detail):
            return


async def compare_versions(mapping: MappingSession) -> None:
    """Asks for a version, shows the changes since, and takes it into the editor where that is wanted."""
    prompts, name = mapping.prompts, mapping.base_draft.name
    if not name:
        prompts.notify("It has no version yet: ctrl+s saves the first one.")
        return
    versions = await mapping.backend.call(queries.workflow_versions, name)
    choices = [
        Choice(
            str(each.version),
            f"version {each.version}",
            f"{format_timestamp(each.applied)[:16]} by {each.actor}",
        )
        for each in reversed(versions)
    ]
    chosen = await prompts.pick(f"{sanitize(name)}: which version?", choices)
    if chosen is None:
        return
    texts = {str(each.version): _normalized(each.source, name) for each in versions}
    other, after = "", to_yaml(mapping.draft)
    if len(versions) > 1:
        others = [Choice("", "what is edited now", "not saved" if mapping.is_dirty else "saved")]
        others += [each for each in choices if each.value != chosen]
        asked = await prompts.pick(f"Compare version {chosen} with what?", others)
        if asked is None:
            return
        other, after = asked, texts.get(asked, after)
    other_name = f"version {other}" if other else "edited now"
    lines = view.diff_lines(texts[chosen], after, f"version {chosen}", other_name)
    title = f"{sanitize(name)}: version {chosen} → {other_name}"
    workflow, _ = load_workflow(texts[chosen], name)
    if await prompts.show_diff(title, lines, chosen) and workflow is not None:
        mapping.change(draft_from_workflow(workflow))


def _normalized(source: str, name: str) -> str:
    """Writes a version's text as the editor does, so that a diff shows differences in effect alone."""
    workflow, _ = load_workflow(source, name)
    return to_yaml(draft_from_workflow(workflow)) if workflow else source
