"""Opening and saving on the Mapping screen: workflows, draft versions, files, $EDITOR, what versions changed."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from askel_tui.core.workflows.loader import load_workflow
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_timestamp
from askel_tui.tui.backend import queries, services
from askel_tui.tui.screens.file_dialog import write_or_replace
from askel_tui.tui.screens.mapping import view
from askel_tui.tui.screens.mapping.draft import Draft, DraftHistory, draft_from_workflow, to_yaml
from askel_tui.tui.screens.mapping.editing import begin_draft
from askel_tui.tui.screens.mapping.view import DraftRow
from askel_tui.tui.widgets.help import Help
from askel_tui.tui.widgets.modal import Modal
from askel_tui.tui.widgets.picker import Choice, Picker
from askel_tui.tui.widgets.text_prompt import TextPrompt

if TYPE_CHECKING:
    from askel_tui.tui.screens.mapping.screen import MappingScreen


async def opened(screen: MappingScreen, connection: str, wanted: str | None) -> None:
    """Opens a workflow of the connection, with what was not saved of it."""
    documents = [
        each for each in await screen.backend.call(queries.workflows) if each.connection == connection
    ]
    chosen = next(
        (each for each in documents if each.workflow == wanted), documents[0] if documents else None
    )
    screen.base = (Draft(connection=connection), "")
    if chosen is not None:
        workflow, problems = load_workflow(chosen.source, chosen.file or chosen.workflow)
        if workflow is not None:
            screen.base = (draft_from_workflow(workflow), chosen.source)
        for problem in problems[:1]:
            screen.toasts.show(str(problem), title=f"{chosen.workflow} can't be read", severity="warning")
    screen.history = DraftHistory(screen.base[0])
    unsaved = screen.session.recall(f"mapping.unsaved.{connection}")
    try:
        draft = Draft.from_dict(unsaved["draft"])
    except (KeyError, TypeError):
        return
    if draft.connection == connection and unsaved.get("of") == screen.base[0].name:
        screen.history.change(draft)


async def choose(screen: MappingScreen) -> None:
    """Asks for another workflow, or begins a new one."""
    connection = screen.connection
    if connection is None:
        screen.toasts.show("Nothing is connected yet: press 2.")
        return
    documents = [
        each for each in await screen.backend.call(queries.workflows) if each.connection == connection
    ]
    choices = [Choice("", "A new workflow", "from the records that came in")]
    choices += [Choice(each.workflow, each.workflow, f"version {each.version}") for each in documents]
    chosen = await screen.ask(Picker("Which workflow?", choices, preselected=screen.draft.name))
    if chosen is None or (
        screen.dirty and not await screen.confirm("Leave the changes?", "They are not saved.")
    ):
        return
    if chosen:
        screen.session.remember(f"mapping.unsaved.{connection}", None)
        screen.session.remember("mapping.workflow", chosen)
        await opened(screen, connection, chosen)
    else:
        name = await screen.ask(TextPrompt("Its name?", "Small letters, digits, hyphens."))
        if name is None:
            return
        draft = await begin_draft(screen, name, connection)
        if draft is None:
            return
        screen.base = (Draft(connection=connection), "")
        screen.history = DraftHistory(screen.base[0])
        screen.history.change(draft)
    await screen.read_records(screen.draft.triggers)
    screen.show(DraftRow(None, "workflow"))
    screen.query_one("#draft").focus()


def text_of(screen: MappingScreen) -> str:
    """The workflow as YAML: the text that it came from as long as nothing is changed, comments included."""
    draft, source = screen.base
    return source if source and screen.draft == draft else to_yaml(screen.draft)


async def save(screen: MappingScreen) -> None:
    """Stores a draft version, checked against the live account; what is wrong is listed."""
    from askel_tui.services.workflows import InvalidWorkflow

    name, text = screen.draft.name, text_of(screen)
    draft = screen.draft
    try:
        applied = await screen.with_progress(
            "Checking against the account",
            screen.backend.call(services.apply, text, f"{name}.yaml", screen.backend.actor),
        )
    except InvalidWorkflow as unfit:
        screen.catalog = await screen.backend.call(queries.catalog, draft.connection) or screen.catalog
        screen.show()
        screen.problems = list(unfit.problems)
        screen.show_problems()
        screen.toasts.show(str(unfit.problems[0]), title="Not saved", severity="warning")
        return
    screen.base = (draft, text)
    screen.session.remember("mapping.workflow", name)
    screen.session.remember("dry_run.workflow", name)
    screen.catalog = await screen.backend.call(queries.catalog, draft.connection) or screen.catalog
    screen.show()
    for warning in applied.warnings:
        screen.toasts.show(str(warning), title="Good to know", severity="warning", timeout=10)
    version = applied.document.version
    told = (
        f"{name} is saved as version {version}, a draft."
        if applied.changed
        else f"{name} says the same already."
    )
    screen.toasts.show(f"{told} Dry run (5) shows what it would write and goes live.", title="Saved")


async def save_yaml(screen: MappingScreen) -> None:
    """Writes the workflow file."""
    asked = TextPrompt("Save the workflow to which file?", value=f"{screen.draft.name or 'workflow'}.yaml")
    name = await screen.ask(asked)
    if name is None:
        return
    file = await write_or_replace(screen, name, text_of(screen))
    if file is not None:
        screen.toasts.show(f"Written to {file}.", title="Saved")


async def open_editor(screen: MappingScreen) -> None:
    """Opens the YAML in $EDITOR; what it says afterwards becomes the draft, once it can be read."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    text = text_of(screen)
    while True:
        try:
            text = _edited(screen, command, text)
        except SuspendNotSupported:
            screen.toasts.show(
                "This terminal can't be handed to an editor: Y saves a file.", severity="warning"
            )
            return
        workflow, problems = load_workflow(text, "the file")
        if workflow is not None:
            screen.change(draft_from_workflow(workflow))
            return
        listed = "\n".join(sanitize(str(each), 200) for each in problems[:8])
        if not await screen.confirm("Open the editor again?", f"It can't be taken as it is:\n{listed}"):
            return


def _edited(screen: MappingScreen, command: list[str], text: str) -> str:
    """The text as the editor left it. The console has nothing to do meanwhile, so it waits. Raises `OSError`."""
    with tempfile.TemporaryDirectory(prefix="askel-") as directory:
        file = Path(directory) / f"{screen.draft.name or 'workflow'}.yaml"
        file.write_text(text, "utf-8")
        with screen.askel.suspend():
            subprocess.run([*command, str(file)], check=False)
        return file.read_text("utf-8", "replace")


async def versions(screen: MappingScreen) -> None:
    """Asks for a version, and shows what is different in what is edited now; it can be taken back."""
    name = screen.base[0].name
    if not name:
        screen.toasts.show("It has no version yet: ctrl+s saves the first one.")
        return
    found = await screen.backend.call(queries.workflow_versions, name)
    choices = [
        Choice(
            str(each.version),
            f"version {each.version}",
            f"{format_timestamp(each.applied)[:16]} by {each.actor}",
        )
        for each in reversed(found)
    ]
    chosen = await screen.ask(Picker(f"{sanitize(name)}: which version?", choices))
    if chosen is None:
        return
    texts = {str(each.version): _normal(each.source, name) for each in found}
    with_, after = "", to_yaml(screen.draft)
    if len(found) > 1:
        others = [Choice("", "what is edited now", "saved" if not screen.dirty else "not saved")]
        others += [each for each in choices if each.value != chosen]
        asked = await screen.ask(Picker(f"Compare version {chosen} with what?", others))
        if asked is None:
            return
        with_, after = asked, texts.get(asked, after)
    words = f"version {with_}" if with_ else "edited now"
    lines = view.diff_lines(texts[chosen], after, f"version {chosen}", words)
    shown = VersionDiff(f"{sanitize(name)}: version {chosen} → {words}", lines, chosen)
    workflow, _ = load_workflow(texts[chosen], name)
    if await screen.ask(shown) and workflow is not None:
        screen.change(draft_from_workflow(workflow))


def _normal(source: str, name: str) -> str:
    """A version's text as the editor writes it, so that a diff shows what is different in effect."""
    workflow, _ = load_workflow(source, name)
    return to_yaml(draft_from_workflow(workflow)) if workflow else source


class VersionDiff(Modal[bool | None]):
    """A diff; True where the older version is to be taken into the editor."""

    DEFAULT_CSS = """
    VersionDiff { align: center middle; }
    VersionDiff > VerticalScroll {
        width: 100; max-width: 96%; height: auto; max-height: 90%;
        background: $surface; border: round $border; border-title-color: $accent; padding: 0 1;
    }
    """
    help = Help(
        "What changed", "- was in the version, + is new. r takes the version into the editor; u undoes that."
    )
    BINDINGS = [  # noqa: RUF012
        Binding("escape", "dismiss(None)", "Back", id="difference.back"),
        Binding("r", "dismiss(True)", "Take the version back", id="difference.take"),
    ]

    def __init__(self, title: str, lines: list[tuple[str, str]], version: str) -> None:
        super().__init__()
        self._version = version
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The lines."""
        box = VerticalScroll()
        box.border_title = self._title
        box.border_subtitle = f"r takes version {self._version} into the editor · Esc leaves"
        with box:
            parts: list[Any] = [(sanitize(text) + "\n", style) for text, style in self._lines]
            yield Static(Content.assemble(*parts).rstrip())
