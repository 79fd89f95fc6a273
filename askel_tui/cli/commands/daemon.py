"""`askel daemon`: sends in the background, and serves the HTTP API."""

from __future__ import annotations

import logging
import sys

import click

from askel_tui.cli.commands.failed import count_failures, put_failure_count
from askel_tui.cli.common import exit_with, open_instance, run_async
from askel_tui.cli.output import put_message
from askel_tui.core.exit_codes import ExitCode
from askel_tui.text.json_text import encode_json
from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize_sentence
from askel_tui.text.times import to_rfc3339


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Serve the HTTP API there, for your product.")
@click.option("--public", is_flag=True, help="Let --listen name an address that other machines can reach.")
@click.option("--until-idle", is_flag=True, help="End when nothing is left that can be sent.")
@click.option("--log-json", is_flag=True, help="Log one JSON object a line.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The lowest level that is logged; debug logs every request.",
)
def daemon(listen: str | None, public: bool, until_idle: bool, log_json: bool, log_level: str) -> None:
    """Keep records moving into Klaviyo until SIGTERM or Ctrl-C; requests in flight are settled first.

    One daemon works on a home. With --until-idle it exits 3 while a hold exists, and 4 where a connection has no key.

    \b
    Examples:
      askel daemon
      askel daemon --listen 127.0.0.1:8765
      askel daemon --until-idle
    """
    _set_up_logging(logging.getLevelNamesMapping()[log_level.upper()], log_json)
    from askel_tui.sync.engine.daemon import run as serve
    from askel_tui.sync.instance import KeyNotStored

    if public and listen is None:
        raise click.UsageError("--public says something about --listen, which is missing")
    open_api = None
    if listen is not None:
        from askel_tui.api.server.server import server_factory

        open_api = server_factory(listen, public=public)
    ended = run_async(serve(until_idle=until_idle, open_api=open_api))
    waiting, (records, operations) = run_async(_count_remaining())
    if until_idle and not waiting:
        put_message("nothing is left to send")
    put_failure_count(records, operations)
    for name in ended.connections_without_key:
        put_message(str(KeyNotStored(name)))
    if ended.hold_count:
        verb = "is" if ended.hold_count == 1 else "are"
        put_message(f"{pluralize(ended.hold_count, 'step')} {verb} held: `askel hold list` says why")
    if until_idle and ended.connections_without_key:
        exit_with(ExitCode.KEY_OR_SCOPE)
    if until_idle and ended.hold_count:
        exit_with(ExitCode.REFUSED)


async def _count_remaining() -> tuple[int, tuple[int, int]]:
    """Returns the operations that wait or are held, and (the records that failed, the operations with them)."""
    async with open_instance() as instance:
        counts = (await instance.journal.counts()).values()
        return sum(each.waiting + each.held for each in counts), await count_failures(instance)


def _set_up_logging(level: int, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.root.addHandler(handler)
    logging.getLogger("askel_tui").setLevel(level)


class TextLines(logging.Formatter):
    """Formats `time LEVEL message`, sanitized; of an exception only its name and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats one line of the log."""
        return f"{_record_time(record)} {record.levelname:<7} {sanitize_sentence(_message(record))}"


class JsonLines(logging.Formatter):
    """Formats one JSON object a line: at, level, logger, message, and the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats one line of the log."""
        return encode_json(
            {
                "at": _record_time(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _message(record),
                **getattr(record, "fields", {}),
            }
        )


def _record_time(record: logging.LogRecord) -> str:
    return to_rfc3339(int(record.created * 1000))


def _message(record: logging.LogRecord) -> str:
    from askel_tui.cli.error_handling import scrub

    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    return scrub(f"{message}: {type(error).__name__}: {error}" if error is not None else message)
