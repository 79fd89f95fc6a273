"""`askel`: the table of commands, and the console that opens without one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from askel_tui import __version__
from askel_tui.cli.lazy_group import CommandEntry, LazyGroup

_CONNECTIONS, _WORKFLOWS, _RUNNING, _MACHINE = (
    "Connections",
    "Records and workflows",
    "Running and watching",
    "This machine",
)


def _entry(module: str, attribute: str, text: str, section: str) -> CommandEntry:
    return CommandEntry(f"askel_tui.cli.commands.{module}", attribute, text, section)


COMMANDS: Mapping[str, CommandEntry] = {
    "connect": _entry("connections", "connect", "Connect a Klaviyo account.", _CONNECTIONS),
    "check": _entry("connections", "check", "Check a connection's key and scopes.", _CONNECTIONS),
    "rotate": _entry("connections", "rotate", "Give a connection a new key.", _CONNECTIONS),
    "disconnect": _entry("connections", "disconnect", "Remove a connection and its key.", _CONNECTIONS),
    "connections": _entry("connections", "connections", "List connections, change one.", _CONNECTIONS),
    "revision": _entry("revision", "revision", "List revisions, move a connection to one.", _CONNECTIONS),
    "browse": _entry("browse", "browse", "Show what exists in an account.", _CONNECTIONS),
    "workflow": _entry("workflow", "workflow", "Workflows as files: apply, activate, show.", _WORKFLOWS),
    "ingest": _entry("ingest", "ingest", "Read records from a file.", _WORKFLOWS),
    "backfill": _entry("history.backfill", "backfill", "Write records of the past.", _WORKFLOWS),
    "dry-run": _entry("dry_run", "dry_run", "Show what would be written.", _WORKFLOWS),
    "reconcile": _entry(
        "dry_run", "reconcile", "Compare what was written with what Klaviyo holds.", _RUNNING
    ),
    "daemon": _entry("daemon", "daemon", "Keep records moving into Klaviyo.", _RUNNING),
    "status": _entry("status", "status", "Show backlog, holds and budgets.", _RUNNING),
    "audit": _entry("audit", "audit", "Show every write and decision.", _RUNNING),
    "hold": _entry("hold", "hold", "List, re-plan, release or discard what is held.", _RUNNING),
    "pause": _entry("hold", "pause", "Pause all workflows at once.", _RUNNING),
    "resume": _entry("hold", "resume", "Resume what was paused at once.", _RUNNING),
    "failed": _entry("failed", "failed", "List, retry or discard what failed.", _RUNNING),
    "token": _entry("token", "token", "Create, list or revoke tokens for the HTTP API.", _RUNNING),
    "replay": _entry("history.replay", "replay", "Send events of a range again.", _RUNNING),
    "segment": _entry("direct", "segment", "Ask whether a profile is in a segment.", _RUNNING),
    "flow": _entry("direct", "flow", "Fire a flow for a profile.", _RUNNING),
    "notify": _entry("settings", "notify", "Try the addresses that notices go to.", _MACHINE),
    "config": _entry("configuration.config", "config", "The configuration as files.", _MACHINE),
    "settings": _entry("settings", "settings", "Show and change settings.", _MACHINE),
    "demo": _entry("demo", "demo", "The whole story, on this machine.", _MACHINE),
    "sandbox": _entry("sandbox", "sandbox", "A Klaviyo account on this machine.", _MACHINE),
    "doctor": _entry("doctor.command", "doctor", "Check that everything is in order.", _MACHINE),
}

CONSOLE_PACKAGE = "askel_tui.tui"

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (validation, drift, a hold),
4 key or scope, 5 Klaviyo not reachable.
\b
Environment: ASKEL_HOME (all state), ASKEL_KLAVIYO_URL (base address),
ASKEL_VAULT_KEY or ASKEL_VAULT_KEY_FILE (the vault for keys), NO_COLOR.
"""


class AskelGroup(LazyGroup):
    """The top group: every error becomes a sentence and an exit code."""

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Runs the command line and ends the process."""
        from askel_tui.cli.error_handling import run_guarded

        sys.exit(
            run_guarded(lambda: super(AskelGroup, self).main(*args, **{**settings, "standalone_mode": False}))
        )


@click.group(
    cls=AskelGroup,
    entries=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, prog_name="askel", message="%(prog)s %(version)s")
@click.option("--read-only", is_flag=True, help="Open the console without any command that writes.")
@click.pass_context
def cli(ctx: click.Context, read_only: bool) -> None:
    """Connect a product to a brand's Klaviyo account: map, rehearse, go live, and watch every write.

    Without a command, askel opens the console. See it work first: askel demo
    """
    if ctx.invoked_subcommand is None:
        _open_console(ctx, read_only)
    elif read_only:
        raise click.UsageError("--read-only is for the console, which opens without a command.")


def _open_console(ctx: click.Context, read_only: bool) -> None:
    if not sys.stdout.isatty() or importlib.util.find_spec(f"{CONSOLE_PACKAGE}.app") is None:
        click.echo(ctx.get_help())
        return
    importlib.import_module(CONSOLE_PACKAGE).run(read_only=read_only)


def main() -> NoReturn:
    """Runs `askel`; this is its entry point."""
    cli.main(prog_name="askel")


if __name__ == "__main__":
    main()
