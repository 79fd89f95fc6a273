"""`askel connect`, `check`, `rotate`, `disconnect`, `connections`: accounts, keys and scopes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from askel_tui.cli.common import (
    actor,
    asynchronous,
    json_option,
    open_instance,
    require_confirmation,
    run_async,
)
from askel_tui.cli.connection_output import check_row, connection_row, put_check, revision_cell
from askel_tui.cli.key_input import KeyCommand, key_option, read_key
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put, put_json, put_message, put_table

if TYPE_CHECKING:
    from askel_tui.core.operations import OnConflict
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc
    from askel_tui.sync.instance import Instance

F = TypeVar("F", bound=Callable[..., Any])

_CONFLICT_POLICIES = click.Choice(("fail", "strongest", "merge"))
_ON_CONFLICT_HELP = (
    "Where a record's identifiers belong to several profiles: fail it, write with the strongest identifier alone, or "
    "merge the profiles in Klaviyo."
)

_NOTIFY_URL_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")


_customer_option = click.option("--customer", help="The customer of yours that this account belongs to.")


def _notify_urls(ctx: click.Context, param: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    for number, url in enumerate(urls, 1):
        if not _NOTIFY_URL_PATTERN.fullmatch(url):
            # The address is not repeated: it may hold a token.
            raise click.BadParameter(
                f"address {number} is not of the form service://… (https://, slack://, mailto://)"
            )
    return urls


def _on_conflict_option(**settings: Any) -> Callable[[F], F]:
    return click.option("--on-conflict", type=_CONFLICT_POLICIES, help=_ON_CONFLICT_HELP, **settings)


def _notify_option(text: str) -> Callable[[F], F]:
    return click.option("--notify", multiple=True, metavar="URL", callback=_notify_urls, help=text)


@click.command(cls=KeyCommand)
@click.argument("name")
@key_option
@click.option("--revision", help="The API revision to pin; the newest one without it.")
@click.option(
    "--accept-retired",
    is_flag=True,
    help="Pin a revision that Klaviyo has retired, as another one serves it. Without it such a revision is refused.",
)
@_customer_option
@click.option(
    "--only-list", "only_lists", multiple=True, metavar="LIST", help="Touch only this list; repeatable."
)
@_notify_option("Where notices of holds and failures go; repeatable.")
@_on_conflict_option(default="fail", show_default=True)
@json_option
def connect(name: str, key_stdin: bool, as_json: bool, **settings: Any) -> None:
    """Connect a Klaviyo account under a NAME.

    The key is checked before anything is stored: whose account it opens and which scopes it has. It comes from a
    prompt or from standard input, never from an argument.

    \b
    Example:
      askel connect maple-ember --key-stdin < key.txt
    """
    run_async(_connect(name, read_key(key_stdin), settings, as_json))


async def _connect(name: str, key: str, settings: dict[str, Any], as_json: bool) -> None:
    from askel_tui.services import connections

    async with open_instance() as instance:
        try:
            document, check = await connections.connect(instance, name, key, actor(), **settings)
        except connections.RetiredRevision as retired:
            if not sys.stdin.isatty():
                raise
            require_confirmation(f"{retired.question} Pin it all the same?", yes=False)
            settings["accept_retired"] = True
            document, check = await connections.connect(instance, name, key, actor(), **settings)
        catalog = await _first_catalog(instance, document)
    if as_json:
        put_json({**check_row(document, check), "catalog": catalog})
        return
    put_check(document, check)
    if catalog:
        put()
        put("catalog: " + ", ".join(f"{count:,} {section}" for section, count in catalog.items()))


async def _first_catalog(instance: Instance, document: ConnectionDoc) -> dict[str, int] | None:
    """Reads the catalog once and returns its counts by section. None where it can't be read, which is only reported."""
    from askel_tui.core.problems import did_you_mean
    from askel_tui.klaviyo.errors import KlaviyoError
    from askel_tui.klaviyo.reads.catalog import SECTIONS
    from askel_tui.services.discovery import discover

    client = await instance.client(document.name)
    try:
        found = await discover(instance, document.name, client)
    except KlaviyoError as error:
        put_message(f"the catalog could not be read yet: {error}")
        return None
    readable = [section for section in SECTIONS if section not in found.unreadable_sections]
    known = {word for each in found.catalog.lists for word in (each.id, each.name)}
    for name in document.only_lists:
        if "lists" in readable and name not in known:
            guess = did_you_mean(name, known)
            hint = f"; did you mean {guess!r}?" if guess else ""
            put_message(f"warning: the account has no list {name!r}{hint}")
    return {section: len(getattr(found.catalog, section)) for section in readable}


@click.command()
@click.argument("name")
@json_option
@asynchronous
async def check(name: str, as_json: bool) -> None:
    """Check a connection's key against Klaviyo and note which scopes it has.

    \b
    Example:
      askel check maple-ember
    """
    from askel_tui.services import connections

    async with open_instance() as instance:
        _put_result(*await connections.check(instance, name), as_json)


def _put_result(document: ConnectionDoc, check: KeyCheck, as_json: bool) -> None:
    if as_json:
        put_json(check_row(document, check))
    else:
        put_check(document, check)


@click.command(cls=KeyCommand)
@click.argument("name")
@key_option
@json_option
def rotate(name: str, key_stdin: bool, as_json: bool) -> None:
    """Give a connection a new key of the same account.

    Steps that were held because of the old key go on.

    \b
    Example:
      askel rotate maple-ember --key-stdin < new-key.txt
    """
    run_async(_rotate(name, read_key(key_stdin), as_json))


async def _rotate(name: str, key: str, as_json: bool) -> None:
    from askel_tui.services import connections

    async with open_instance() as instance:
        _put_result(*await connections.rotate(instance, name, key, actor()), as_json)


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asynchronous
async def disconnect(name: str, yes: bool) -> None:
    """Remove a connection and its key. Nothing changes in Klaviyo; the audit stays.

    \b
    Example:
      askel disconnect maple-ember --yes
    """
    from askel_tui.services import connections

    async with open_instance() as instance:
        instance.state.connection(name)
        if sys.stdin.isatty():
            require_confirmation(f"Remove {name} and its key?", yes)
        await connections.disconnect(instance, name, actor())
    put_message(
        f"{name} is disconnected; its key is gone from here, and still works in Klaviyo until deleted there"
    )


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def connections(ctx: click.Context, as_json: bool) -> None:
    """List the connections, or change one.

    \b
    Examples:
      askel connections --json
      askel connections set maple-ember --on-conflict strongest
    """
    if ctx.invoked_subcommand is None:
        run_async(_list(as_json))
    elif as_json:
        raise click.UsageError("--json belongs after the command")


@connections.command("set")
@click.argument("name")
@_on_conflict_option()
@click.option(
    "--pause-after",
    metavar="SPAN",
    help="How long Klaviyo may keep failing before a step is held: 90s, 15m, 2h; `default` as the setting says.",
)
@_customer_option
@_notify_option("Where its notices go, in place of where they went; repeatable.")
@click.option(
    "--no-notify", is_flag=True, help="Its notices go nowhere but where those of all connections go."
)
@json_option
@asynchronous
async def set_(
    name: str,
    on_conflict: OnConflict | None,
    pause_after: str | None,
    customer: str | None,
    notify: tuple[str, ...],
    no_notify: bool,
    as_json: bool,
) -> None:
    """Change the connection NAME; a running daemon applies it at once.

    \b
    Examples:
      askel connections set maple-ember --on-conflict merge
      askel connections set maple-ember --pause-after 1h --notify slack://…
    """
    from askel_tui.services import connections
    from askel_tui.services.settings import InvalidSetting, parse_duration

    if notify and no_notify:
        raise click.UsageError("--notify and --no-notify exclude each other")
    try:
        seconds = None if pause_after in (None, "default") else parse_duration(str(pause_after))
    except InvalidSetting as refused:
        raise click.BadParameter(str(refused), param_hint="--pause-after") from None
    given = {
        "on_conflict": (on_conflict, on_conflict is not None),
        "pause_after": (seconds, pause_after is not None),
        "customer": (customer, customer is not None),
        "notify": (notify, bool(notify) or no_notify),
    }
    fields = {field: value for field, (value, is_given) in given.items() if is_given}
    if not fields:
        raise click.UsageError("nothing to change was given; --help says what can be")
    async with open_instance() as instance:
        document = await connections.change(instance, name, actor(), **fields)
    if as_json:
        put_json(connection_row(document))
    else:
        put_message(f"{name}: {', '.join(fields)} changed")


async def _list(as_json: bool) -> None:
    async with open_instance() as instance:
        documents = instance.state.connections()
    if as_json:
        put_json({"connections": [connection_row(document) for document in documents]})
        return
    if not documents:
        put_message("no connections yet: `askel connect NAME --key-stdin` makes one")
    columns = ("name", "account", "called", "revision", "customer", "on conflict", "missing scopes", "key")
    put_table(columns, [_cells(document) for document in documents])


def _cells(document: ConnectionDoc) -> tuple[str | None, ...]:
    missing = sorted(scope for scope, state in document.scopes.items() if state == "missing")
    return (
        document.name,
        document.account,
        document.account_name,
        revision_cell(document),
        document.customer,
        document.on_conflict,
        ", ".join(missing),
        document.key,
    )
