"""`askel demo`: a sandbox, Maple & Ember, and the whole story."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import click

from askel_tui.cli.common import run


@click.command()
@click.option("--headless", is_flag=True, help="Tell the story on standard output and end.")
def demo(headless: bool) -> None:
    """Tell the whole story against a sandbox on this machine, and count at the end.

    Nothing of yours is touched: the state lives in a temporary directory.

    \b
    Example:
      askel demo --headless
    """
    # There is no console yet that could show it, so both ways tell it here.
    del headless
    run(_demo())


async def _demo() -> None:
    from askel_tui.demo.account import DemoAccount
    from askel_tui.demo.story import Story, StoryBroken
    from askel_tui.sandbox.server import serve
    from askel_tui.sync.instance import opened

    sandbox = await serve()
    with tempfile.TemporaryDirectory(prefix="askel-demo-") as home:
        for name in [name for name in os.environ if name.startswith("ASKEL_")]:
            del os.environ[name]
        os.environ.update(
            ASKEL_HOME=home, ASKEL_KLAVIYO_URL=sandbox.url, ASKEL_VAULT_KEY=secrets.token_urlsafe(24)
        )
        click.echo(f"A Klaviyo account on this machine: {sandbox.url} (Maple & Ember)")
        try:
            async with opened(Path(home)) as instance:
                await Story(instance, DemoAccount(sandbox.url), click.echo).tell(sandbox.key)
        except StoryBroken as broken:
            raise click.ClickException(str(broken)) from None
        finally:
            await sandbox.aclose()
