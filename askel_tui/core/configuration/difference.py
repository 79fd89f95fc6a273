"""How a home differs from a folder of its configuration: what applying the folder would do. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from askel_tui.core.configuration.model import Configuration, ConnectionConfig, WorkflowConfig

Action = Literal["create", "change", "delete", "leave"]
"""What applying does; `leave`: it is not in the folder, and stays."""

Kind = Literal["setting", "connection", "workflow"]

FIXED_FIELDS: Mapping[str, str] = {
    "account": "a connection keeps its account: give this one another name",
    "revision": "a connection moves to another revision by `askel revision move`",
    "accept_retired": "that is said when a connection is made, or moves by `askel revision move`",
    "only_lists": "its lists are chosen when it is made: disconnect it and connect it anew",
}
"""The fields of a connection that applying a folder does not change, and what to do instead."""

MAX_DIFF_LINES = 40
MAX_COMPARED_LINES = 4_000


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: what it is in the home and in the folder."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What applying a folder does to one thing, and what stands in the way of it."""

    kind: Kind
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    lines: tuple[str, ...] = ()
    """The lines of a workflow's text that differ, as in a unified diff."""
    blocked: str | None = None
    """Why it can't be applied, and what to do."""


def compare(folder: Configuration, home: Configuration, *, prune: bool) -> list[Change]:
    """Lists what applying the folder would change in the home, in the order in which it is done."""
    missing: Action = "delete" if prune else "leave"
    changes = [*_settings(folder, home, missing)]
    changes += _each("connection", folder.connections, home.connections, missing, _connection)
    changes += _each("workflow", folder.workflows, home.workflows, missing, _workflow)
    # A connection goes after the workflows that use it.
    return sorted(changes, key=lambda each: each.action == "delete" and each.kind == "connection")


def _settings(folder: Configuration, home: Configuration, missing: Action) -> Iterator[Change]:
    for name in sorted({*folder.settings, *home.settings}):
        before, after = home.settings.get(name), folder.settings.get(name)
        if name not in folder.settings:
            yield Change("setting", name, missing, (FieldChange("value", before, None),))
        elif before != after:
            action: Action = "change" if name in home.settings else "create"
            yield Change("setting", name, action, (FieldChange("value", before, after),))


def _each(
    kind: Kind,
    folder: Mapping[str, Any],
    home: Mapping[str, Any],
    missing: Action,
    changed: Callable[[Any, Any], Change | None],
) -> Iterator[Change]:
    for name in sorted({*folder, *home}):
        if name not in folder:
            yield Change(kind, name, missing)
            continue
        change = changed(home.get(name), folder[name])
        if change is not None:
            yield change


def _connection(before: ConnectionConfig | None, after: ConnectionConfig) -> Change | None:
    plain = before or ConnectionConfig(after.name)
    found = []
    for each in fields(ConnectionConfig):
        was, becomes = getattr(plain, each.name), getattr(after, each.name)
        unsaid = each.name in ("account", "revision") and becomes is None
        if was != becomes and not unsaid:
            found.append(FieldChange(each.name, was, becomes))
    if before is None:
        return Change("connection", after.name, "create", tuple(found))
    if not found:
        return None
    fixed = next((FIXED_FIELDS[each.field] for each in found if each.field in FIXED_FIELDS), None)
    return Change("connection", after.name, "change", tuple(found), blocked=fixed)


def _workflow(before: WorkflowConfig | None, after: WorkflowConfig) -> Change | None:
    if before is None:
        return Change("workflow", after.name, "create", (FieldChange("state", None, after.status),))
    found = []
    blocked = None
    lines = _diff(before.source, after.source)
    if before.source != after.source:
        found.append(FieldChange("version", "as it is", "another one"))
    if before.draft != after.draft and after.draft is not None:
        found.append(FieldChange("draft", "as it is" if before.draft else None, "another one"))
        lines += _diff(before.draft or before.source, after.draft)
    if before.status != after.status:
        found.append(FieldChange("state", before.status, after.status))
        if after.status == "draft":
            blocked = "what ran once can't become a draft again: say `paused`"
    if before.connection != after.connection:
        found.append(FieldChange("connection", before.connection, after.connection))
        blocked = f"it belongs to {before.connection}: give this one another name"
    return Change("workflow", after.name, "change", tuple(found), lines, blocked) if found else None


def _diff(before: str, after: str) -> tuple[str, ...]:
    if before.count("\n") + after.count("\n") > MAX_COMPARED_LINES:
        return ()
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "now", "folder", n=1, lineterm="")
    found = [line for _, line in zip(range(MAX_DIFF_LINES + 1), lines, strict=False)]
    if len(found) > MAX_DIFF_LINES:
        found[MAX_DIFF_LINES:] = ["…"]
    return tuple(found)
