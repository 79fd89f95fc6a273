"""`askel revision`: the revisions of Klaviyo's API, and moving a connection from one to another."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import actor, asynchronous, json_option, open_instance, require_confirmation
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import bold, format_cell, put, put_json, put_message, put_table
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.services.revisions.rehearsal import Rehearsal


@click.group(cls=SuggestingGroup)
def revision() -> None:
    """Revisions of Klaviyo's API: which there are, and moving a connection to another one."""


@revision.command("list")
@json_option
@asynchronous
async def list_(as_json: bool) -> None:
    """List the revisions that a connection may pin, what becomes of each, and which connections do.

    \b
    Example:
      askel revision list
    """
    from askel_tui.services.revisions.listing import list_revisions

    async with open_instance() as instance:
        rows = list_revisions(instance)
    if as_json:
        put_json({"revisions": rows})
        return
    put_table(
        ("revision", "status", "connections"),
        [(each["revision"], each["note"], ", ".join(each["connections"])) for each in rows],
    )


@revision.command()
@click.argument("connection")
@click.option("--to", metavar="R", help="The revision to try; the newest one without it.")
@click.option(
    "--last",
    type=click.IntRange(1, 2_000),
    default=30,
    show_default=True,
    help="How many records a workflow.",
)
@json_option
@asynchronous
async def rehearse(connection: str, to: str | None, last: int, as_json: bool) -> None:
    """Try a move: build what records and waiting operations would send at both revisions, and compare.

    The requests go to an account on this machine that serves the new revision; in Klaviyo nothing is written.

    \b
    Example:
      askel revision rehearse maple-ember
    """
    from askel_tui.services.revisions.rehearsal import rehearse

    async with open_instance() as instance:
        found = await rehearse(instance, connection, actor(), to=to, last=last)
    if as_json:
        put_json(found.as_dict())
    else:
        _put_rehearsal(found)


def _put_rehearsal(found: Rehearsal) -> None:
    put(
        f"{found.connection}: {found.old} to {found.new}, {pluralize(found.records, 'record')} of "
        f"{pluralize(len(found.workflows), 'workflow')} and {pluralize(found.waiting, 'operation')} that wait"
    )
    if found.differences:
        put()
        put(bold("differences"))
        put_table(
            ("call", "what"), [(each.call, each.words) for each in found.differences], keep_last_whole=True
        )
    put()
    for each in found.attention:
        put(f"needs attention: {format_cell(each)}")
    if found.is_safe:
        put(f"safe: {pluralize(found.tried, 'request')} were taken at {found.new}, and nothing is lacking")


@revision.command()
@click.argument("connection")
@click.option("--to", metavar="R", help="The revision to move to; the newest one without it.")
@click.option("--accept-retired", is_flag=True, help="Take a retired revision as another one serves it.")
@click.option("--without-canary", is_flag=True, help="Move everybody at once, with nobody tried first.")
@click.option("--yes", is_flag=True, help="Do not ask; also confirms a move that was made.")
@json_option
@asynchronous
async def move(connection: str, as_json: bool, yes: bool, without_canary: bool, **options: Any) -> None:
    """Move a connection to another revision, with all that waits, is held and failed.

    It wants a rehearsal of the workflows as they are now. While a daemon runs, the people of the first 20 records (or
    of what comes in 10 minutes) are moved first and read back; where something is not as it was sent, nobody else is.
    Given once more, it confirms the move; until then `askel revision back` takes it back.

    \b
    Example:
      askel revision move maple-ember --yes
    """
    from askel_tui.services.revisions import moving

    async with open_instance() as instance:
        options["canary"] = not without_canary
        result = await _ask(lambda yes: moving.move(instance, connection, actor(), **options, yes=yes), yes)
    if as_json:
        put_json(dict(result))
    elif result["confirmed"]:
        put_message(f"{connection}: the move to {result['revision']} is confirmed")
    else:
        _put_held(result)
        _put_canary(result["canary"])
        put_message(
            f"{connection} is at {result['revision']}. `askel revision move {connection}` confirms it, `askel revision "
            f"back {connection}` takes it back"
        )


@revision.command()
@click.argument("connection")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@asynchronous
async def back(connection: str, yes: bool, as_json: bool) -> None:
    """Move a connection back to the revision before its move, while that is not confirmed.

    What the older revision can't say is named first, and held.

    \b
    Example:
      askel revision back maple-ember --yes
    """
    from askel_tui.services.revisions import moving

    async with open_instance() as instance:
        result = await _ask(lambda yes: moving.back(instance, connection, actor(), yes=yes), yes)
    if as_json:
        put_json(dict(result))
    else:
        _put_held(result)
        put_message(f"{connection} is back at {result['revision']}")


async def _ask(work: Callable[[bool], Awaitable[Mapping[str, Any]]], yes: bool) -> Mapping[str, Any]:
    """Does something that may need a yes: asks for it on a terminal, and names the flag where there is none."""
    from askel_tui.services.revisions.moving import MoveUnconfirmed

    try:
        return await work(yes)
    except MoveUnconfirmed as unconfirmed:
        if not sys.stdin.isatty():
            raise
        require_confirmation(unconfirmed.question, yes=False)
    return await work(True)


def _put_canary(canary: Mapping[str, Any] | None) -> None:
    if canary is None:
        return
    put(
        f"canary: {pluralize(canary['records'], 'record')}, {canary['found']:,} fields and events as they were sent"
    )
    for reason, count in canary["unchecked"].items():
        put(f"canary: {pluralize(count, 'event')} could not be read back: {reason}")


def _put_held(result: Mapping[str, Any]) -> None:
    for each in result.get("held", ()):
        put(
            f"held: {each['workflow']} step {each['step']}, {pluralize(each['operations'], 'operation')}: "
            f"{format_cell(each['why'])}"
        )
