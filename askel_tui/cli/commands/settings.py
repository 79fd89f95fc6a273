"""`askel settings`: shows and changes the settings of the instance; `askel notify` tries addresses for notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import actor, asynchronous, exit_with, json_option, open_instance, run_async
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from askel_tui.services.settings import Setting


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """Show the settings of this instance, or change one.

    \b
    Examples:
      askel settings
      askel settings set pause_after 30m
      askel settings set notify https+hmac://SECRET@hooks.example/askel slack://…
      askel settings unset retention_mb
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json belongs after the command")
        return
    run_async(_list(as_json))


async def _list(as_json: bool) -> None:
    from askel_tui.services.settings import SETTINGS, public_value

    async with open_instance() as instance:
        stored = instance.state.settings()
    values = [(setting, stored.get(setting.name, setting.default)) for setting in SETTINGS.values()]
    if as_json:
        rows = [
            {
                "name": setting.name,
                "value": public_value(setting, value),
                "default": setting.default,
                "set": setting.name in stored,
            }
            for setting, value in values
        ]
        put_json({"settings": rows})
        return
    cells = [
        (
            setting.name,
            _format(setting, value),
            "" if setting.name in stored else "default",
            setting.description,
        )
        for setting, value in values
    ]
    put_table(("setting", "is", "", "means"), cells, keep_last_whole=True)


def _format(setting: Setting, value: Any) -> str:
    return "–" if value is None else setting.format(value)


@settings.command("set")
@click.argument("name")
@click.argument("value", nargs=-1, required=True)
@json_option
@asynchronous
async def set_(name: str, value: tuple[str, ...], as_json: bool) -> None:
    """Set a setting; a running daemon applies it at once.

    \b
    Example:
      askel settings set retention_days 30
    """
    await _change(name, value, as_json)


@settings.command()
@click.argument("name")
@json_option
@asynchronous
async def unset(name: str, as_json: bool) -> None:
    """Unset a setting: its default holds again.

    \b
    Example:
      askel settings unset notify
    """
    await _change(name, None, as_json)


async def _change(name: str, words: tuple[str, ...] | None, as_json: bool) -> None:
    from askel_tui.services.settings import InvalidSetting, change, find_setting, public_value

    try:
        async with open_instance() as instance:
            value = await change(instance, name, words, actor())
    except InvalidSetting as refused:
        raise click.UsageError(str(refused)) from None
    setting = find_setting(name)
    if as_json:
        put_json({"name": name, "value": public_value(setting, value), "set": words is not None})
        return
    origin = "" if words is not None else ", as without a setting"
    put_message(f"{name} is {_format(setting, value)}{origin}")


@click.group(cls=SuggestingGroup)
def notify() -> None:
    """Addresses for notices; `settings set notify` and `connections set --notify` set them."""


@notify.command("test")
@click.option("--connection", metavar="NAME", help="Only the addresses that this connection's notices go to.")
@json_option
@asynchronous
async def test_(connection: str | None, as_json: bool) -> None:
    """Send a test notice to every address, and say where it arrived.

    Exits 1 where one could not be delivered, or where there is no address.

    \b
    Example:
      askel notify test --connection maple-ember
    """
    from askel_tui.services.json_documents import to_json
    from askel_tui.services.notices import try_addresses

    async with open_instance() as instance:
        tried = await try_addresses(instance, actor(), connection)
    if as_json:
        put_json({"notices": to_json(tried)})
    else:
        put_table(
            ("address", "of", "result"),
            [(each.address, each.connection or "all", each.error or "delivered") for each in tried],
            keep_last_whole=True,
        )
    if not tried:
        put_message("there is no address: `askel settings set notify URL` sets one for all connections")
    if not tried or any(each.error is not None for each in tried):
        exit_with(ExitCode.FAILED)
