"""The files of a configuration: read into it with all their problems, and written from it with their comments kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode

from askel_tui.core.configuration.editing import NotAMapping, Value, remove_value, set_value
from askel_tui.core.configuration.model import (
    WORKFLOW_STATES,
    Configuration,
    ConnectionConfig,
    WorkflowConfig,
    WorkflowStatus,
)
from askel_tui.core.configuration.templates import CONNECTION_NAME, fill_template
from askel_tui.core.problems import Problem
from askel_tui.core.spans import format_span, parse_span
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.node_reader import NodeReader
from askel_tui.core.workflows.yaml_nodes import MAX_FILE_CHARACTERS, compose_nodes, node_line
from askel_tui.services.configuration.addresses import ReadSecret, address_name, fill_address
from askel_tui.services.settings import SETTINGS, InvalidSetting, find_setting
from askel_tui.sync.notifications.addresses import NOTIFY_SETTING

MAIN_FILE = "askel.yaml"
CONNECTIONS, WORKFLOWS, DRAFTS, TEMPLATES = "connections", "workflows", "drafts", "templates"
"""The file of settings, states and templates, and the folders beside it."""

FORMAT_VERSION = 1
MAX_FILES = 2_000
HEAD = "# Written by `askel config export`; comments stay when it is written again.\n"

Files = Mapping[str, str]
"""The texts of a folder by path, with `/`."""

_CONNECTION_KEYS = (
    "account", "revision", "accept_retired", "customer", "only_lists", "notify", "on_conflict", "pause_after",
)  # fmt: skip
_MAIN_KEYS = ("config", "settings", "workflows", "templates")
_CONFLICTS = ("fail", "strongest", "merge")


def read_files(directory: Path) -> tuple[Files, list[Problem]]:
    """Reads the files of a folder that belong to a configuration."""
    files: dict[str, str] = {}
    problems: list[Problem] = []
    paths = [directory / MAIN_FILE]
    for name in (CONNECTIONS, WORKFLOWS, DRAFTS, TEMPLATES):
        paths += sorted((directory / name).glob("*.yaml"))
    for path in paths[:MAX_FILES]:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                # What is longer is refused by whoever reads it as YAML.
                files[path.relative_to(directory).as_posix()] = file.read(MAX_FILE_CHARACTERS + 1)
        except FileNotFoundError:
            problems.append(
                Problem("there is no such file: `askel config export` writes one", file=str(path))
            )
        except UnicodeDecodeError:
            problems.append(Problem("it is not UTF-8", file=str(path)))
        except OSError as error:
            problems.append(Problem(f"it can't be read: {error.strerror}", file=str(path)))
    if len(paths) > MAX_FILES:
        problems.append(Problem(f"there are more than {MAX_FILES:,} files", file=str(directory)))
    return files, problems


def read_configuration(files: Files, read_secret: ReadSecret) -> tuple[Configuration, list[Problem]]:
    """Reads a configuration from its files, and all problems of these."""
    reader = _Reader(files, read_secret)
    return reader.read(), sorted(reader.problems, key=lambda each: (each.file or "", each.line or 0))


@dataclass(frozen=True, slots=True)
class _Template:
    file: str
    status: WorkflowStatus
    values: Mapping[str, Mapping[str, str]]
    """What each connection fills in."""


class _Reader:
    def __init__(self, files: Files, read_secret: ReadSecret) -> None:
        self.files = files
        self.read_secret = read_secret
        self.problems: list[Problem] = []

    def read(self) -> Configuration:
        main = self.mapping(MAIN_FILE)
        reader = NodeReader(MAIN_FILE, self.problems)
        fields = reader.read_fields(main, None, _MAIN_KEYS, {}) if main is not None else {}
        if reader.read_word(fields.get("config"), "config") not in (None, str(FORMAT_VERSION)):
            reader.add_problem(
                fields["config"], f"takes {FORMAT_VERSION}, the form that this Askel knows", "config"
            )
        settings = self.settings(reader, fields.get("settings"))
        states = dict(self.states(reader, fields.get("workflows")))
        connections = {each.name: each for each in self.connections()}
        workflows = {each.name: each for each in self.workflows(reader, states, fields.get("workflows"))}
        for template in self.templates(reader, fields.get("templates")):
            for workflow in self.filled(template):
                if workflow.name in workflows:
                    message = (
                        f"workflow {workflow.name} comes from {workflows[workflow.name].file} already: "
                        f"put ${{{CONNECTION_NAME}}} into its name"
                    )
                    self.problems.append(Problem(message, field="workflow", file=template.file))
                workflows[workflow.name] = workflow
        return Configuration(connections, workflows, settings)

    def mapping(self, path: str) -> MappingNode | None:
        """Composes a file that holds a mapping; None where it is missing, empty or no mapping."""
        text = self.files.get(path)
        if (
            text is None
            or not text.strip()
            or all(line.startswith("#") for line in text.splitlines() if line)
        ):
            return None
        node, problems = compose_nodes(text, path)
        self.problems += problems
        if node is not None and not isinstance(node, MappingNode):
            self.problems.append(Problem("it holds no mapping", file=path, line=node_line(node)))
            return None
        return node

    def settings(self, reader: NodeReader, node: Node | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for entry in reader.read_entries(node, "settings", "a mapping of settings"):
            name = f"settings.{entry.name}"
            words = self.words(reader, entry.value, name)
            try:
                setting = find_setting(entry.name)
                if entry.name == NOTIFY_SETTING:
                    words = self.addresses(reader, entry.value, words, name)
                if words:
                    found[entry.name] = setting.parse(words)
            except InvalidSetting as refused:
                reader.add_problem(entry.value, str(refused), name)
        return found

    def words(self, reader: NodeReader, node: Node, field: str) -> list[str]:
        """Reads a value or a list of values as texts; none where there is nothing."""
        if isinstance(node, ScalarNode):
            return [] if node.style is None and node.value in ("", "~", "null") else [node.value]
        if isinstance(node, MappingNode) or not all(isinstance(each, ScalarNode) for each in node.value):
            reader.add_problem(node, "takes a value or a list of values", field)
            return []
        return [each.value for each in node.value]

    def addresses(self, reader: NodeReader, node: Node, written: list[str], field: str) -> list[str]:
        found = []
        for each in written:
            address, unknown = fill_address(each, self.read_secret)
            if unknown:
                message = (
                    f"the environment variable {unknown[0]} is not set: it holds an address, or a part of one"
                )
                reader.add_problem(node, message, field)
            found.append(address)
        return found

    def states(self, reader: NodeReader, node: Node | None) -> Iterator[tuple[str, WorkflowStatus]]:
        for entry in reader.read_entries(node, "workflows", "a mapping of workflows and their states"):
            status = self.status(reader, entry.value, f"workflows.{entry.name}")
            if status is not None:
                yield entry.name, status

    def status(self, reader: NodeReader, node: Node | None, field: str) -> WorkflowStatus | None:
        word = reader.read_word(node, field)
        if word is None:
            return None
        for status in WORKFLOW_STATES:
            if word == status:
                return status
        if node is not None:
            reader.add_problem(node, f"takes {', '.join(WORKFLOW_STATES)}, not {word}", field)
        return None

    def connections(self) -> Iterator[ConnectionConfig]:
        for path in self.paths(CONNECTIONS):
            reader = NodeReader(path, self.problems)
            node = self.mapping(path)
            fields = reader.read_fields(node, None, _CONNECTION_KEYS, {}) if node is not None else {}
            words = {name: self.words(reader, each, name) for name, each in fields.items()}
            one = {name: given[0] for name, given in words.items() if len(given) == 1}
            notify = (
                self.addresses(reader, fields["notify"], words["notify"], "notify")
                if "notify" in fields
                else []
            )
            conflict = one.get("on_conflict", "fail")
            if conflict not in _CONFLICTS:
                reader.add_problem(fields["on_conflict"], f"takes {', '.join(_CONFLICTS)}", "on_conflict")
            pause = parse_span(one["pause_after"]) if "pause_after" in one else None
            if "pause_after" in one and pause is None:
                reader.add_problem(
                    fields["pause_after"], "takes a time such as 90s, 15m or 2h", "pause_after"
                )
            retired = one.get("accept_retired", "false")
            if retired not in ("true", "false"):
                reader.add_problem(fields["accept_retired"], "takes true or false", "accept_retired")
            yield ConnectionConfig(
                name=Path(path).stem,
                account=one.get("account"),
                revision=one.get("revision"),
                accept_retired=retired == "true",
                customer=one.get("customer"),
                only_lists=tuple(words.get("only_lists", ())),
                notify=tuple(notify),
                on_conflict=conflict,
                pause_after=pause,
            )

    def workflows(
        self, reader: NodeReader, states: Mapping[str, WorkflowStatus], node: Node | None
    ) -> Iterator[WorkflowConfig]:
        drafts = {Path(path).stem: self.files[path] for path in self.paths(DRAFTS)}
        found = set()
        for path in self.paths(WORKFLOWS):
            one = self.workflow(path, self.files[path], states.get(Path(path).stem, "draft"))
            if one is None:
                continue
            if one.name != Path(path).stem:
                message = f"it holds workflow {one.name}: its file is called {one.name}.yaml"
                self.problems.append(Problem(message, field="workflow", file=path))
            found.add(one.name)
            draft = drafts.pop(one.name, None)
            if draft is not None and self.workflow(f"{DRAFTS}/{one.name}.yaml", draft, "draft") is None:
                draft = None
            yield replace(one, draft=draft)
        for name in drafts:
            message = (
                f"there is no {WORKFLOWS}/{name}.yaml that it is a newer version of: a draft alone goes there"
            )
            self.problems.append(Problem(message, file=f"{DRAFTS}/{name}.yaml"))
        for name in states:
            if node is not None and f"{WORKFLOWS}/{name}.yaml" not in self.files:
                reader.add_problem(node, f"there is no {WORKFLOWS}/{name}.yaml", f"workflows.{name}")

    def workflow(self, path: str, text: str, status: WorkflowStatus) -> WorkflowConfig | None:
        workflow, problems = load_workflow(text, path)
        self.problems += problems
        if workflow is None:
            return None
        return WorkflowConfig(workflow.name, workflow.connection, status, text, file=path)

    def templates(self, reader: NodeReader, node: Node | None) -> Iterator[_Template]:
        for entry in reader.read_entries(node, "templates", "a mapping of templates"):
            field, path = f"templates.{entry.name}", f"{TEMPLATES}/{entry.name}.yaml"
            fields = reader.read_fields(
                entry.value, field, ("state", "for"), {"for": "the connections, with what each fills in"}
            )
            status = self.status(reader, fields.get("state"), f"{field}.state") or "draft"
            if path not in self.files:
                reader.add_problem(entry.key, f"there is no {path}", field)
                continue
            values = {
                each.name: {
                    value.name: (self.words(reader, value.value, f"{field}.for.{each.name}") or [""])[0]
                    for value in reader.read_entries(
                        each.value, f"{field}.for.{each.name}", "a mapping of values"
                    )
                }
                for each in reader.read_entries(fields.get("for"), f"{field}.for", "a mapping of connections")
            }
            yield _Template(path, status, values)

    def filled(self, template: _Template) -> Iterator[WorkflowConfig]:
        for connection, values in template.values.items():
            given = {**values, CONNECTION_NAME: connection}
            text, problems = fill_template(self.files[template.file], given, template.file)
            self.problems += problems
            workflow = None if problems else self.workflow(template.file, text, template.status)
            if workflow is not None:
                yield workflow

    def paths(self, folder: str) -> list[str]:
        return [path for path in self.files if path.startswith(f"{folder}/")]


def write_configuration(home: Configuration, files: Files, read_secret: ReadSecret) -> dict[str, str]:
    """Returns the texts of the files that have to be written so that the folder says what the home holds.

    Comments stay, and addresses and templates stay written as they are where they mean the same.
    """
    present, _ = read_configuration(files, read_secret)
    made = {
        MAIN_FILE: _main_file(home, present, files.get(MAIN_FILE, f"{HEAD}config: {FORMAT_VERSION}\n")),
        **{
            f"{CONNECTIONS}/{name}.yaml": _connection_file(
                each, present.connections.get(name), files.get(f"{CONNECTIONS}/{name}.yaml", HEAD)
            )
            for name, each in home.connections.items()
        },
    }
    for name, workflow in home.workflows.items():
        known = present.workflows.get(name)
        if known is None or known.source != workflow.source:
            made[f"{WORKFLOWS}/{name}.yaml"] = workflow.source
        if workflow.draft is not None:
            made[f"{DRAFTS}/{name}.yaml"] = workflow.draft
    return {path: text for path, text in made.items() if files.get(path) != text}


def _main_file(home: Configuration, present: Configuration, text: str) -> str:
    for name in SETTINGS:
        value = home.settings.get(name)
        if value == present.settings.get(name):
            continue
        path = ("settings", name)
        text = remove_value(text, path) if value is None else _set(text, path, _setting_value(name, value))
    for name, workflow in home.workflows.items():
        known = present.workflows.get(name)
        from_template = known is not None and known.file.startswith(f"{TEMPLATES}/")
        if from_template and known is not None and known.source == workflow.source:
            continue
        if known is None or known.status != workflow.status or known.status == "draft":
            text = _set(text, ("workflows", name), workflow.status)
    return text


def _connection_file(home: ConnectionConfig, present: ConnectionConfig | None, text: str) -> str:
    plain = present or ConnectionConfig(home.name)
    for name in _CONNECTION_KEYS:
        value = getattr(home, name)
        if value == getattr(plain, name) and (present is not None or name != "on_conflict"):
            continue
        written: Value = value
        if name == "notify":
            written = [f"${{{address_name(each)}}}" for each in value]
        elif name == "pause_after" and value is not None:
            written = format_span(value)
        text = remove_value(text, (name,)) if value in (None, (), False) else _set(text, (name,), written)
    return text


def _set(text: str, path: tuple[str, ...], value: Value) -> str:
    # What is no mapping is a problem of the file, and was one before.
    with suppress(NotAMapping):
        return set_value(text, path, value)
    return text


def _setting_value(name: str, value: Any) -> Value:
    if name == NOTIFY_SETTING:
        return [f"${{{address_name(each)}}}" for each in value]
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and SETTINGS[name].format is format_span:
        return format_span(value)
    return value if isinstance(value, int | float) else [str(each) for each in value]
