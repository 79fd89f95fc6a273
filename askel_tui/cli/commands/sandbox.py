"""`askel sandbox`: runs a Klaviyo account on this machine."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import click

from askel_tui.cli.common import CommandError
from askel_tui.cli.output import put_message
from askel_tui.sandbox.state.seed import SEEDS


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8787, show_default=True, help="0 takes a free one."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--no-limits", is_flag=True, help="Never throttle.")
@click.option(
    "--state", type=click.Path(dir_okay=False), help="A file to load the account from and keep it in."
)
@click.option(
    "--seed", type=click.Choice(SEEDS), default=SEEDS[0], show_default=True, help="What a new account holds."
)
@click.option("--quiet", is_flag=True, help="Do not log requests.")
def sandbox(port: int, host: str, no_limits: bool, state: str | None, seed: str, quiet: bool) -> None:
    """A Klaviyo account on this machine, over HTTP, until Ctrl-C. Any client can use it.

    Its address and key are printed on standard output, its requests on standard error. Profiles, lists,
    segments, events and flows behave as in Klaviyo; /sandbox/ is its control surface.

    \b
    Example:
      askel sandbox --port 8787 --no-limits
      ASKEL_KLAVIYO_URL=http://127.0.0.1:8787 askel connect maple-ember
    """
    from askel_tui.sandbox.__main__ import run
    from askel_tui.sandbox.http.server import PortTaken
    from askel_tui.sandbox.state.persistence import StateUnreadable

    settings = {"limits": False} if no_limits else {}
    try:
        asyncio.run(
            run(host, port, seed, Path(state) if state else None, settings, None if quiet else put_message)
        )
    except PortTaken as taken:
        cause = taken.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} on {host} is taken: --port names another, 0 takes a free one"
            ) from None
        raise CommandError(str(taken).rstrip(".")) from None
    except StateUnreadable as unreadable:
        raise CommandError(str(unreadable).rstrip(".")) from None
