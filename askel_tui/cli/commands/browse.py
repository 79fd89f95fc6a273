"""`askel browse`: lists what exists in an account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import CommandError, asynchronous, json_option, open_instance
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import to_rfc3339

if TYPE_CHECKING:
    from askel_tui.core.catalog import Catalog, FlowEntry, PropertyEntry, SegmentEntry

SECTIONS = ("lists", "segments", "flows", "metrics", "templates", "properties")


@click.command()
@click.argument("name")
@click.argument("section", type=click.Choice(SECTIONS), metavar="|".join(SECTIONS))
@click.option("--search", metavar="TEXT", help="Only what has this text in its name or id.")
@click.option(
    "--sample",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    help="Profiles to sample for custom properties.",
)
@json_option
@asynchronous
async def browse(name: str, section: str, search: str | None, sample: int, as_json: bool) -> None:
    """Show what exists in the account of connection NAME, read now and kept.

    Klaviyo lists custom properties nowhere: they are sampled from the profiles that were updated last.

    \b
    Examples:
      askel browse maple-ember lists
      askel browse maple-ember properties --search loyalty
    """
    from askel_tui.services.discovery import discover

    async with open_instance() as instance:
        client = await instance.client(name)
        found = await discover(instance, name, client, [section], sample=sample)
    if section in found.unreadable_sections:
        raise CommandError(
            f"the key of {name} lacks {_needed_scope(section)}, so its {section} can't be read",
            ExitCode.KEY_OR_SCOPE,
        )
    catalog = found.catalog
    every: Sequence[Any] = getattr(catalog, section)
    entries = [each for each in every if _matches(each, search)]
    sampled = max((each.of for each in catalog.properties), default=0)
    if as_json:
        document: dict[str, Any] = {"connection": name, "taken": to_rfc3339(catalog.taken)}
        if section == "properties":
            document["sampled"] = sampled
        put_json({**document, section: [asdict(each) for each in entries]})
        return
    headers, row = _SECTION_TABLES[section]
    put_table(headers, [row(each, catalog) for each in entries])
    of = f" of {len(every):,}" if search else ""
    put_message(f"{pluralize(len(entries), *_SECTION_NOUNS[section])}{of}" + _sampling_note(section, sampled))


def _needed_scope(section: str) -> str:
    return "profiles:read" if section == "properties" else f"{section}:read"


def _sampling_note(section: str, sampled: int) -> str:
    if section != "properties":
        return ""
    return f", seen on the {pluralize(sampled, 'profile')} that were updated last; others may exist"


def _matches(entry: Any, search: str | None) -> bool:
    if search is None:
        return True
    text = search.casefold()
    return any(text in str(getattr(entry, field, "")).casefold() for field in ("name", "id"))


def _segment_row(entry: SegmentEntry, catalog: Catalog) -> tuple[object, ...]:
    state = "processing" if entry.is_processing else "active" if entry.is_active else "inactive"
    return entry.name, entry.id, state


def _flow_row(entry: FlowEntry, catalog: Catalog) -> tuple[object, ...]:
    named: list[Any] = [*catalog.lists, *catalog.segments, *catalog.metrics]
    names = {each.id: each.name for each in named}
    if entry.triggers is None:
        fired_by = "can't be read with this key"
    else:
        fired_by = ", ".join(
            f"{trigger.type} {names.get(trigger.id or '', trigger.id or '')}".strip()
            for trigger in entry.triggers
        )
    return entry.name, entry.id, "archived" if entry.archived else entry.status, entry.trigger_type, fired_by


def _property_row(entry: PropertyEntry, catalog: Catalog) -> tuple[object, ...]:
    types = ", ".join(
        f"{kind} {count}" if len(entry.types) > 1 else kind for kind, count in entry.types.items()
    )
    share = f"{entry.seen / entry.of:.0%}" if entry.of else ""
    return entry.name, types, f"{entry.seen} of {entry.of}", share, ", ".join(entry.samples)


_SECTION_TABLES: Mapping[str, tuple[tuple[str, ...], Callable[[Any, Any], tuple[object, ...]]]] = {
    "lists": (
        ("name", "id", "opt-in", "created"),
        lambda entry, _: (entry.name, entry.id, entry.opt_in_process, entry.created),
    ),
    "segments": (("name", "id", "state"), _segment_row),
    "flows": (("name", "id", "status", "trigger", "fired by"), _flow_row),
    "metrics": (("name", "id", "made by"), lambda entry, _: (entry.name, entry.id, entry.integration)),
    "templates": (("name", "id", "editor"), lambda entry, _: (entry.name, entry.id, entry.editor_type)),
    "properties": (("name", "type", "on", "share", "values"), _property_row),
}

_SECTION_NOUNS: Mapping[str, tuple[str, ...]] = {
    "lists": ("list",),
    "segments": ("segment",),
    "flows": ("flow",),
    "metrics": ("metric",),
    "templates": ("template",),
    "properties": ("property", "properties"),
}
