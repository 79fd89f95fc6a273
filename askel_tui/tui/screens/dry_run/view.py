"""What a dry run looks like: rows, details, totals, and its exports. Pure.

A run is the document of `askel dry-run --json`; a record is one of its `records`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from askel_tui.tui.text.copying import as_curl, as_json
from askel_tui.tui.text.exports import as_csv
from askel_tui.tui.text.figures import plural
from askel_tui.tui.text.inert import fit, inert, shown
from askel_tui.tui.widgets.table import Cell, Column, Row

Json = Mapping[str, Any]
Part = tuple[str, str]
"""Inert text and its style."""

COLUMNS = (
    Column("would be", 9),
    Column("who", 18, 4),
    Column("lists", 12, 2),
    Column("fields", 6, right=True),
    Column("events", 6, right=True),
    Column("skip", 4, right=True),
)

STATES: Mapping[str, Cell] = {
    "failed": ("✗ failed", "$error"),
    "new": ("+ new", "$success"),
    "changed": ("~ changed", "$warning"),
    "unchanged": ("= same", "$foreground-muted"),
    "nothing": ("○ nothing", "$foreground-muted"),
}

HEADERS = ("record", "profile", "state", "step", "kind", "target", "field", "before", "after", "note")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~-])")


def state(record: Json) -> str:
    """What a record would come to, as a key of `STATES`."""
    if record["problems"]:
        return "failed"
    if record["new"]:
        return "new"
    if not record["operations"]:
        return "nothing"
    return "changed" if any(each["changes"] for each in record["operations"]) else "unchanged"


def who(record: Json) -> str:
    """The identifiers of a record's profile."""
    return ", ".join(str(each) for each in record["profile"].values()) or "nobody"


def lists(record: Json) -> str:
    """Lists that are joined (+) and left (-)."""
    found = [
        f"{'+' if change['after'] else '-'}{field.removeprefix('list ')}"
        for operation in record["operations"]
        for field, change in operation["changes"].items()
        if field.startswith("list ") and operation["kind"] != "upsert_profile"
    ]
    return ", ".join(found)


def row(number: int, record: Json) -> Row:
    """The row of the record at a place; the place is its key."""
    upserts = [each for each in record["operations"] if each["kind"] == "upsert_profile"]
    fields = sum(len(each["changes"]) for each in upserts)
    events = sum(field.startswith("event ") for field, _ in _others(record))
    skipped = len(record["skipped"])
    cells: tuple[Cell, ...] = (
        STATES[state(record)],
        next(iter(record["profile"].values()), "nobody"),
        lists(record),
        f"{fields:,}" if fields else "",
        f"{events:,}" if events else "",
        (f"{skipped:,}", "$warning") if skipped else "",
    )
    return str(number), cells


def _others(record: Json) -> Iterator[tuple[str, Json]]:
    for operation in record["operations"]:
        if operation["kind"] != "upsert_profile":
            yield from operation["changes"].items()


def searched(record: Json) -> str:
    """The text that the filter looks at."""
    notes = " ".join(each["message"] for each in record["problems"])
    skipped = " ".join(f"skipped {each['step']}" for each in record["skipped"])
    return f"{record['record']} {who(record)} {state(record)} {lists(record)} {notes} {skipped}"


def totals(run: Json) -> list[Part]:
    """What the run comes to, over all of its records."""
    found = run["totals"]
    parts: list[Part] = [
        (f"{plural(found['records'], 'record')}: ", "bold"),
        (f"{found['new']:,} new", "$success"),
        (" · ", ""),
        (f"{found['changed']:,} changed", "$warning"),
        (" · ", ""),
        (f"{found['unchanged']:,} unchanged", ""),
    ]
    if found["problems"]:
        parts.append((f" · ✗ {found['problems']:,} would fail", "bold $error"))
    if found["skipped"]:
        parts.append((f" · {found['skipped']:,} stopped by a gate", "$warning"))
    for label, told in effects(found):
        parts += [(f"\n{label:<8}", "$foreground-muted"), (told, "")]
    return parts


def effects(found: Json) -> list[tuple[str, str]]:
    """What changes beside profiles: lists, events, flows, consent; inert."""
    lines = []
    moved = [f"{count:,} added to {inert(name)}" for name, count in found["added"].items()]
    moved += [f"{count:,} removed from {inert(name)}" for name, count in found["removed"].items()]
    if moved:
        lines.append(("lists", ", ".join(moved)))
    if found["events"]:
        lines.append(
            ("events", ", ".join(f"{count:,} × {inert(name)}" for name, count in found["events"].items()))
        )
    if found["flows"]:
        told = [f"{inert(name)} for {plural(count, 'profile')}" for name, count in found["flows"].items()]
        lines.append(("flows", ", ".join(told) + " would fire"))
    consent = [f"{found[word]:,} {word}" for word in ("subscribed", "unsubscribed") if found[word]]
    if consent:
        lines.append(("consent", ", ".join(consent)))
    return lines


def detail(record: Json, width: int) -> list[Part]:
    """Everything that a record would do, step by step, for a pane of that many cells."""
    parts: list[Part] = [(f"{inert(record['record'])}\n", "bold $accent")]
    parts.append(
        (" · ".join(inert(str(each)) for each in record["profile"].values()) + "\n", "$foreground-muted")
    )
    for problem in record["problems"]:
        place = " › ".join(problem[name] for name in ("step", "field") if problem.get(name))
        parts.append((f"✗ {inert(place)}{': ' if place else ''}{inert(problem['message'])}\n", "$error"))
    for operation in record["operations"]:
        target = operation["target"]
        named = f" {inert(target['type'])} {fit(target['name'], 60)}" if target else ""
        gate = operation["request"] is None
        parts.append((f"\n{inert(operation['step'])} ", "bold"))
        parts.append((f"{operation['kind']}{named}\n", "$primary"))
        if gate:
            parts.append(_gate(operation, record))
        elif not operation["changes"]:
            parts.append(("  = no change\n", "$foreground-muted"))
        for field, change in operation["changes"].items():
            parts += _change(field, change, width)
    for skip in record["skipped"]:
        parts += [(f"\n{inert(skip['step'])} ", "bold"), (f"skipped: {inert(skip['why'])}\n", "$warning")]
    return parts


def _gate(operation: Json, record: Json) -> Part:
    named = f"gate {operation['step']}:"
    closed = any(skip["why"].startswith(named) for skip in record["skipped"])
    return ("  ✗ not let through\n", "$warning") if closed else ("  ✓ let through\n", "$success")


def _change(field: str, change: Json, width: int) -> list[Part]:
    if field.startswith("event "):
        after = dict(change["after"])
        parts: list[Part] = [(f"  {inert(field)}\n", "")]
        rows = [*((name, value) for name, value in after.items() if name != "properties")]
        rows += list(after.get("properties", {}).items())
        for name, value in rows:
            parts += [(f"    {fit(name, 24)} ", "$foreground-muted"), (f"{_value(value, width)}\n", "")]
        return parts
    label = field.removeprefix("properties.")
    sign = ("  + ", "$success") if change["before"] in (None, False) else ("  ~ ", "$warning")
    if change["after"] in (None, False):
        sign = ("  - ", "$error")
    before = _value(change["before"], width // 2)
    return [
        sign,
        (f"{fit(label, 28)}  ", "$foreground-muted"),
        (f"{before} → ", "$foreground-muted"),
        (f"{_value(change['after'], width)}\n", "bold"),
    ]


def _value(value: object, cells: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return fit(shown(value), max(12, cells))


# Requests.


def requests(record: Json) -> list[dict[str, Any]]:
    """The exact requests of a record, each with its step."""
    return [
        {"step": each["step"], **each["request"]}
        for each in record["operations"]
        if each["request"] is not None
    ]


def requests_json(record: Json) -> str:
    """A record's requests as one JSON document."""
    return as_json(requests(record))


def requests_curl(record: Json, revision: str, address: str) -> str:
    """A record's requests as commands, the key a variable."""
    commands = [
        f"# {inert(each['step'])}\n" + as_curl(each["method"], each["path"], each["body"], revision, address)
        for each in requests(record)
    ]
    return "\n\n".join(commands)


# Exports.


def export(run: Json, kind: str) -> str:
    """The run as `.csv`, `.json` or `.md`."""
    match kind:
        case ".csv":
            return as_csv(HEADERS, list(_rows(run)))
        case ".json":
            return as_json(run) + "\n"
    return _markdown(run)


def _rows(run: Json) -> Iterator[Sequence[object]]:
    for record in run["records"]:
        first = (record["record"], who(record), state(record))
        for operation in record["operations"]:
            target = operation["target"]["name"] if operation["target"] else ""
            step = (operation["step"], operation["kind"], target)
            if not operation["changes"]:
                yield (*first, *step, "", "", "", "gate" if operation["request"] is None else "no change")
            for field, change in operation["changes"].items():
                yield (*first, *step, field, change["before"], change["after"], "")
        for skip in record["skipped"]:
            yield (*first, skip["step"], "", "", "", "", "", f"skipped: {skip['why']}")
        for problem in record["problems"]:
            yield (
                *first,
                problem.get("step", ""),
                "",
                "",
                problem.get("field", ""),
                "",
                "",
                problem["message"],
            )


def _markdown(run: Json) -> str:
    title = (
        f"# Dry run of {_plain(run['workflow'])}, version {run['version']}, on {_plain(run['connection'])}"
    )
    found = run["totals"]
    words = [
        f"{found[word]:,} {word}"
        for word in ("records", "new", "changed", "unchanged", "skipped", "problems")
    ]
    lines = [title, "", ", ".join(words) + ".", ""]
    lines += [f"- {label}: {_plain(told)}" for label, told in effects(found)]
    lines += ["", "| " + " | ".join(HEADERS) + " |", "|" + " --- |" * len(HEADERS)]
    lines += ["| " + " | ".join(_plain(shown(each)) for each in cells) + " |" for cells in _rows(run)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", inert(text))
