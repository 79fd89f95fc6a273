"""`askel segment check` and `askel flow fire`: two functions of the HTTP API, from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import (
    CommandError,
    actor,
    asynchronous,
    exit_with,
    json_option,
    open_instance,
    run_async,
)
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import format_cell, problem_rows, put, put_json, put_message
from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.requests.differences import describe_differences

if TYPE_CHECKING:
    from askel_tui.services.direct.writes import WriteResult


@click.group(cls=SuggestingGroup)
def segment() -> None:
    """Questions about segments, answered by Klaviyo now."""


@segment.command()
@click.argument("name")
@click.argument("segment")
@click.argument("profile")
@json_option
@asynchronous
async def check(name: str, segment: str, profile: str, as_json: bool) -> None:
    """Ask whether PROFILE (e-mail, +phone, or external id) is in SEGMENT (name or id) of connection NAME.

    \b
    Example:
      askel segment check maple-ember VIP ada@example.com
    """
    from askel_tui.services.direct.requests import check_segment_membership, parse_identity

    async with open_instance() as instance:
        found = await check_segment_membership(instance, name, segment, parse_identity(profile))
    if as_json:
        put_json(found)
        return
    verb = "is in" if found["member"] else "is not in"
    put(f"{format_cell(profile)} {verb} {format_cell(found['segment']['name'])}")


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
    fired = run_async(_fire(name, flow, profile, through_list, metric))
    for warning in fired.warnings:
        put_message(f"warning: {warning.message}")
    if as_json:
        put_json(_fire_row(fired))
    _put_result(fired, flow)


async def _fire(
    name: str, flow: str, profile: str, through_list: str | None, metric: str | None
) -> WriteResult:
    from askel_tui.core.problems import Problem
    from askel_tui.services.direct.requests import fire_flow, parse_identity
    from askel_tui.services.workflows import InvalidWorkflow

    async with open_instance() as instance:
        try:
            return await fire_flow(
                instance,
                name,
                flow,
                parse_identity(profile),
                actor(),
                through_list=through_list,
                through_metric=metric,
            )
        except InvalidWorkflow as invalid:
            # The command named a flow; file, step and field of a problem mean nothing here.
            problems = [str(Problem(each.message, suggestion=each.suggestion)) for each in invalid.problems]
            raise CommandError("; ".join(problems), invalid.exit_code) from None


def _fire_row(fired: WriteResult) -> dict[str, Any]:
    from askel_tui.cli.commands.audit import AuditRows

    rows = AuditRows()
    return {
        "record": fired.record,
        "complete": fired.complete,
        "fires": fired.fires,
        "warnings": problem_rows(fired.warnings),
        "entries": [rows.row(entry) for entry in fired.entries],
    }


def _put_result(fired: WriteResult, flow: str) -> None:
    failures = [entry for entry in fired.entries if entry.status == "failed"]
    for entry in failures:
        put_message(f"step {entry.step}, {entry.kind}: {(entry.response or {}).get('detail') or 'failed'}")
    if failures:
        exit_with(ExitCode.FAILED)
    for entry in fired.entries:
        response = entry.response or {}
        for words in (describe_differences(response.get("differences")), response.get("detail")):
            if words and entry.status in ("written", "unconfirmed"):
                put_message(f"step {entry.step}, {entry.kind}: {words}")
    if not fired.complete:
        put_message(f"{flow} is not fired yet: it waits or is held (`askel status`, `askel hold list`)")
        exit_with(ExitCode.REFUSED)
    if fired.fires:
        put_message(f"{flow} was given its trigger; record {fired.record} in the audit")
    else:
        put_message(
            f"{flow} does not start: Klaviyo fires it when a profile joins the list, and this one was on it before; "
            f"record {fired.record} in the audit"
        )
