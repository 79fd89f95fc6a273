"""`askel segment check` and `askel flow fire`: from a shell what the API offers a product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import Code, Stop, actor, client_of, end, home, json_option, run
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import problem_rows, put, put_json, shown, tell

if TYPE_CHECKING:
    from askel_tui.services.direct_writes import Written


@click.group(cls=SuggestingGroup)
def segment() -> None:
    """Questions about segments, asked now."""


@segment.command()
@click.argument("name")
@click.argument("segment")
@click.argument("profile")
@json_option
def check(name: str, segment: str, profile: str, as_json: bool) -> None:
    """Ask whether PROFILE (e-mail, +phone, or external id) is in SEGMENT (name or id) of connection NAME.

    \b
    Example:
      askel segment check maple-ember VIP ada@example.com
    """
    found = run(_check(name, segment, profile))
    if as_json:
        put_json(found)
        return
    put(f"{shown(profile)} is {'' if found['member'] else 'not '}in {shown(found['segment']['name'])}")


async def _check(name: str, segment: str, profile: str) -> dict[str, Any]:
    from askel_tui.services.direct_requests import identity_of, segment_check

    async with home() as instance:
        await client_of(instance, name)
        return await segment_check(instance, name, segment, identity_of(profile))


@click.group(cls=SuggestingGroup)
def flow() -> None:
    """Flows, fired through what triggers them."""


@flow.command()
@click.argument("name")
@click.argument("flow")
@click.argument("profile")
@click.option(
    "--list", "through_list", metavar="LIST", help="The list that triggers the flow, where it can't be read."
)
@click.option("--metric", metavar="METRIC", help="The metric that triggers the flow, where it can't be read.")
@json_option
def fire(
    name: str, flow: str, profile: str, through_list: str | None, metric: str | None, as_json: bool
) -> None:
    """Fire FLOW (name or id) of connection NAME for PROFILE (e-mail, +phone, or external id).

    The flow's own trigger is used: a list that the profile is put on, or an event of its metric.

    \b
    Example:
      askel flow fire maple-ember "Welcome Series" ada@example.com
    """
    if through_list is not None and metric is not None:
        raise click.UsageError("--list and --metric exclude each other")
    fired = run(_fire(name, flow, profile, through_list, metric))
    for warning in fired.warnings:
        tell(f"warning: {warning.message}")
    if as_json:
        put_json(_as_json(fired))
    _tell(fired, flow)


async def _fire(name: str, flow: str, profile: str, through_list: str | None, metric: str | None) -> Written:
    from askel_tui.core.problems import Problem
    from askel_tui.services import direct_requests
    from askel_tui.services.workflows import Unfit

    async with home() as instance:
        await client_of(instance, name)
        try:
            return await direct_requests.fire(
                instance,
                name,
                flow,
                direct_requests.identity_of(profile),
                actor(),
                through_list=through_list,
                through_metric=metric,
            )
        except Unfit as unfit:
            # A person named a flow, and no file, step or field.
            told = [str(Problem(each.message, suggestion=each.suggestion)) for each in unfit.problems]
            raise Stop("; ".join(told), Code.KEY if unfit.only_scopes else Code.REFUSED) from None


def _as_json(fired: Written) -> dict[str, Any]:
    from askel_tui.cli.commands.audit import Rows

    rows = Rows()
    return {
        "record": fired.record,
        "complete": fired.complete,
        "fires": fired.fires,
        "warnings": problem_rows(fired.warnings),
        "entries": [rows.row(entry) for entry in fired.entries],
    }


def _tell(fired: Written, flow: str) -> None:
    bad = [entry for entry in fired.entries if entry.status == "failed"]
    for entry in bad:
        tell(f"step {entry.step}, {entry.kind}: {(entry.response or {}).get('detail') or 'failed'}")
    if bad:
        end(Code.FAILED)
    if not fired.complete:
        tell(f"{flow} is not fired yet: it waits or is held (`askel status`, `askel hold list`)")
        end(Code.REFUSED)
    if fired.fires:
        tell(f"{flow} was given its trigger; record {fired.record} in the audit")
    else:
        tell(
            f"{flow} does not start: Klaviyo fires it for who joins the list, and this profile was on it before; "
            f"record {fired.record} in the audit"
        )
