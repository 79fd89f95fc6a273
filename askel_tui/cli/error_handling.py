"""How a command ends when something is wrong: one sentence on standard error and an exit code, never a traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from askel_tui import __version__
from askel_tui.cli.common import Code, Stop
from askel_tui.cli.output import encoded, tell

INTERRUPTED = 130
"""How shells see a program that SIGINT ended."""

CODES: Mapping[str, Code] = {
    "askel_tui.store.errors.NameRefused": Code.USAGE,
    "askel_tui.store.errors.UnknownConnection": Code.USAGE,
    "askel_tui.store.errors.UnknownWorkflow": Code.USAGE,
    "askel_tui.store.errors.KeyUnfit": Code.KEY,
    "askel_tui.store.errors.NoSafeKeyring": Code.KEY,
    "askel_tui.store.errors.KeyringFailed": Code.KEY,
    "askel_tui.store.state.tokens.TokenRefused": Code.USAGE,
    "askel_tui.store.state.tokens.UnknownToken": Code.USAGE,
    "askel_tui.store.errors.StoreError": Code.FAILED,
    "askel_tui.klaviyo.errors.KeyRefused": Code.KEY,
    "askel_tui.klaviyo.errors.ScopeMissing": Code.KEY,
    "askel_tui.klaviyo.errors.Throttled": Code.UNREACHABLE,
    "askel_tui.klaviyo.errors.Unavailable": Code.UNREACHABLE,
    "askel_tui.klaviyo.errors.Unreadable": Code.UNREACHABLE,
    "askel_tui.klaviyo.errors.KlaviyoError": Code.FAILED,
    "askel_tui.klaviyo.reads.key_check.OtherAccount": Code.KEY,
    "askel_tui.klaviyo.http.BadAddress": Code.USAGE,
    "askel_tui.klaviyo.rate_limits.limiter.BudgetsNotOff": Code.USAGE,
    "askel_tui.services.connections.KeyUnsuited": Code.KEY,
    "askel_tui.services.connections.ConnectionRefused": Code.REFUSED,
    "askel_tui.services.workflows.Unfit": Code.REFUSED,
    "askel_tui.sync.engine.commands.Refused": Code.REFUSED,
    "askel_tui.sync.engine.command_bus.Unanswered": Code.FAILED,
    "askel_tui.services.dry_run.NotRun": Code.FAILED,
    "askel_tui.services.direct_requests.NotFound": Code.REFUSED,
    "askel_tui.api.server.server.ListenRefused": Code.USAGE,
}
"""Errors that are expected, by name, so that the table imports none of them. The nearest class counts."""

_KEY = re.compile(r"pk_\w{4,}")
_TOKEN = re.compile(r"(askel_[0-9a-f]{12}_)[\w-]{16,}")
_AUTHORIZATION = re.compile(r"(Klaviyo-API-Key\s+)\S+", re.IGNORECASE)
_SECRET_VARIABLES = ("ASKEL_VAULT_KEY", "ASKEL_DATABASE_URL")


def guarded(command: Callable[[], Any]) -> int:
    """Runs a command of click's; gives the exit code, having said what there is to say."""
    try:
        result = command()
        sys.stdout.flush()
    except Exception as error:
        return _ended(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return int(result) if isinstance(result, int) else Code.DONE


def _ended(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        return _pipe_closed()
    if isinstance(error, click.Abort):
        return INTERRUPTED
    try:
        return _told(error)
    except BrokenPipeError:
        return _pipe_closed()


def _told(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        tell(scrubbed(_usage(error)))
        return error.exit_code
    if isinstance(error, Stop):
        _say(str(error))
        return error.code
    code = code_of(error)
    if code is not None:
        return _expected(error, code)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror.lower()}")
        return Code.FAILED
    _say(_crashed(error))
    return Code.FAILED


def code_of(error: BaseException) -> Code | None:
    """The exit code of an expected error; None for one that nobody expected."""
    for kind in type(error).__mro__:
        code = CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None


def _expected(error: Exception, code: Code) -> int:
    problems = getattr(error, "problems", None)
    if problems is None:
        _say(str(error))
        return code
    for problem in problems:
        tell(scrubbed(str(problem)))
    return Code.KEY if getattr(error, "only_scopes", False) else code


def _say(sentence: str) -> None:
    tell(scrubbed(f"askel: {sentence}"))


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError) or context is None:
        return f"askel: {message}"
    end = "" if message.endswith("?") else "."
    return f"{context.command_path}: {message}{end} See `{context.command_path} --help`."


def scrubbed(text: str) -> str:
    """The text without anything that looks like an API key or is a secret of the environment."""
    text = _TOKEN.sub(r"\1…", _AUTHORIZATION.sub(r"\1…", _KEY.sub("pk_…", text)))
    for name in _SECRET_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, "…")
    return text


def _crashed(error: Exception) -> str:
    kind = type(error).__name__
    try:
        report = _report(error)
    except Exception as trouble:
        return (
            f"something went wrong that Askel did not expect ({kind}); no report could be written: {trouble}"
        )
    return f"something went wrong that Askel did not expect ({kind}); a report without keys is in {report}"


def _report(error: Exception) -> Path:
    """Writes the crash report, 0600. It holds the path through the code, never values of variables."""
    from askel_tui.store.paths import crashes_dir, home, make_private

    directory = crashes_dir(home())
    make_private(directory)
    path = directory / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.txt"
    about = {"askel": __version__, "python": sys.version.split()[0], "platform": sys.platform}
    trace = "".join(traceback.format_exception(error))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{encoded(about)}\n\n{scrubbed(trace)}")
    return path


def _pipe_closed() -> int:
    """Whoever read our output has gone: what is left goes nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return Code.FAILED
