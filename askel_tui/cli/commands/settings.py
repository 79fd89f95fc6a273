"""`askel settings`: what holds for the whole instance."""

from __future__ import annotations

from typing import Any

import click

from askel_tui.cli.common import actor, json_option, open_instance, run_async
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put_json, put_message, put_table


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
    rows = run_async(_setting_rows())
    if as_json:
        put_json(
            {"settings": [{name: row[name] for name in ("name", "value", "default", "set")} for row in rows]}
        )
        return
    put_table(
        ("setting", "is", "", "means"),
        [(row["name"], row["said"], "" if row["set"] else "default", row["means"]) for row in rows],
        keep_last_whole=True,
    )


async def _setting_rows() -> list[dict[str, Any]]:
    from askel_tui.services.settings import SETTINGS, public_value

    async with open_instance() as instance:
        made = instance.state.settings()
    rows = []
    for one in SETTINGS.values():
        value = made.get(one.name, one.default)
        rows.append(
            {
                "name": one.name,
                "value": public_value(one, value),
                "default": one.default,
                "set": one.name in made,
                "said": "–" if value is None else one.format(value),
                "means": one.description,
            }
        )
    return rows


@settings.command("set")
@click.argument("name")
@click.argument("value", nargs=-1, required=True)
@json_option
def set_(name: str, value: tuple[str, ...], as_json: bool) -> None:
    """Set a setting; a running daemon goes by it at once.

    \b
    Example:
      askel settings set retention_days 30
    """
    _change(name, value, as_json)


@settings.command()
@click.argument("name")
@json_option
def unset(name: str, as_json: bool) -> None:
    """Take a setting back: what holds without it holds again.

    \b
    Example:
      askel settings unset notify
    """
    _change(name, None, as_json)


def _change(name: str, words: tuple[str, ...] | None, as_json: bool) -> None:
    from askel_tui.services.settings import InvalidSetting, find_setting, public_value

    try:
        value = run_async(_save(name, words))
    except InvalidSetting as refused:
        raise click.UsageError(str(refused)) from None
    one = find_setting(name)
    if as_json:
        put_json({"name": name, "value": public_value(one, value), "set": words is not None})
        return
    put_message(
        f"{name} is {'–' if value is None else one.format(value)}"
        f"{'' if words is not None else ', as without a setting'}"
    )


async def _save(name: str, words: tuple[str, ...] | None) -> Any:
    from askel_tui.services.settings import change

    async with open_instance() as instance:
        return await change(instance, name, words, actor())
