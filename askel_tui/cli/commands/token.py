"""`askel token`: creates, lists and revokes the tokens that products authenticate with at the HTTP API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from askel_tui.cli.common import actor, asynchronous, json_option, open_instance
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import put, put_json, put_message, put_table
from askel_tui.text.times import to_rfc3339

if TYPE_CHECKING:
    from askel_tui.store.state.tokens import Scope, TokenDoc

_SECONDS_PER_UNIT = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN_PATTERN = re.compile(r"([1-9][0-9]{0,4})([mhdw])")


@click.group(cls=SuggestingGroup)
def token() -> None:
    """Tokens for the HTTP API: who may send, read and operate."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["send", "read", "operate", "admin"]),
    multiple=True,
    default=("send",),
    show_default=True,
    help="What it may do; may be given several times.",
)
@click.option(
    "--connection", "connections", multiple=True, metavar="NAME", help="Only this connection; several times."
)
@click.option("--expires", metavar="SPAN", help="When it ends: 90d, 12h, 30m, 4w. Without it, never.")
@click.option("--rate", type=click.IntRange(1, 1_000_000), metavar="N", help="At most N requests a second.")
@json_option
@asynchronous
async def create(
    name: str,
    scopes: tuple[Scope, ...],
    connections: tuple[str, ...],
    expires: str | None,
    rate: int | None,
    as_json: bool,
) -> None:
    """Create a token. It is shown this once, on standard output; only its digest is stored.

    \b
    Examples:
      askel token create backend --connection maple-ember --scope send --scope read
      askel token create grafana --scope operate --expires 90d
    """
    from askel_tui.store.journal.rows import Decision
    from askel_tui.store.state.tokens import Tokens

    span_ms = _parse_span_ms(expires)
    async with open_instance() as instance:
        for connection in connections:
            instance.state.connection(connection)
        now = instance.clock()
        created, text = Tokens(instance.home).create(
            name,
            scopes,
            connections=connections,
            now=now,
            expires=None if span_ms is None else now + span_ms,
            rate=rate,
        )
        decision = Decision("token_create", actor(), detail=_token_row(created))
        await instance.journal.write_decision(decision, now)
    if as_json:
        put_json({"token": text, **_token_row(created)})
        return
    put(text)
    reach = ", ".join(created.connections) or "all connections"
    put_message(f"{name} may {', '.join(created.scopes)} for {reach}; keep the token, it is not shown again")


def _parse_span_ms(text: str | None) -> int | None:
    if text is None:
        return None
    match = _SPAN_PATTERN.fullmatch(text)
    if match is None:
        raise click.BadParameter("a number and m, h, d or w: 90d", param_hint="--expires")
    return int(match[1]) * _SECONDS_PER_UNIT[match[2]] * 1000


@token.command("list")
@json_option
@asynchronous
async def list_(as_json: bool) -> None:
    """List tokens, never their text.

    \b
    Example:
      askel token list
    """
    from askel_tui.store.state.tokens import Tokens

    async with open_instance() as instance:
        now, found = instance.clock(), Tokens(instance.home).all()
    if as_json:
        put_json({"tokens": [{**_token_row(each), "expired": each.is_expired(now)} for each in found]})
        return
    if not found:
        put_message("there is no token yet: `askel token create NAME` makes one")
    put_table(("name", "scopes", "connections", "expires", "rate"), [_cells(each) for each in found])


def _cells(token: TokenDoc) -> tuple[object, ...]:
    row = _token_row(token)
    connections = ", ".join(token.connections) or "all"
    return token.name, ", ".join(token.scopes), connections, row["expires"], token.rate


@token.command()
@click.argument("name")
@asynchronous
async def revoke(name: str) -> None:
    """Revoke a token; it is refused from the next request on.

    \b
    Example:
      askel token revoke backend
    """
    from askel_tui.store.journal.rows import Decision
    from askel_tui.store.state.tokens import Tokens

    async with open_instance() as instance:
        revoked = Tokens(instance.home).revoke(name)
        decision = Decision("token_revoke", actor(), detail=_token_row(revoked))
        await instance.journal.write_decision(decision, instance.clock())
    put_message(f"{name} is revoked")


def _token_row(token: TokenDoc) -> dict[str, Any]:
    return {
        "name": token.name,
        "id": token.id,
        "scopes": list(token.scopes),
        "connections": list(token.connections),
        "rate": token.rate,
        "created": to_rfc3339(token.created),
        "expires": None if token.expires is None else to_rfc3339(token.expires),
    }
