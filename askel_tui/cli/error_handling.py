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
from askel_tui.cli.common import CommandError, ExitCode
from askel_tui.cli.output import encode_json, put_message

INTERRUPTED_EXIT_CODE = 130
"""How shells see a program that SIGINT ended."""

CODES: Mapping[str, ExitCode] = {
    "askel_tui.store.errors.NameRefused": ExitCode.USAGE,
    "askel_tui.store.errors.UnknownConnection": ExitCode.USAGE,
    "askel_tui.store.errors.UnknownWorkflow": ExitCode.USAGE,
    "askel_tui.store.errors.KeyUnfit": ExitCode.KEY_OR_SCOPE,
    "askel_tui.store.errors.NoSafeKeyring": ExitCode.KEY_OR_SCOPE,
    "askel_tui.store.errors.KeyringFailed": ExitCode.KEY_OR_SCOPE,
    "askel_tui.store.state.tokens.TokenRefused": ExitCode.USAGE,
    "askel_tui.store.state.tokens.UnknownToken": ExitCode.USAGE,
    "askel_tui.store.errors.StoreError": ExitCode.FAILED,
    "askel_tui.klaviyo.errors.KeyRefused": ExitCode.KEY_OR_SCOPE,
    "askel_tui.klaviyo.errors.ScopeMissing": ExitCode.KEY_OR_SCOPE,
    "askel_tui.klaviyo.errors.RateLimited": ExitCode.UNREACHABLE,
    "askel_tui.klaviyo.errors.Unavailable": ExitCode.UNREACHABLE,
    "askel_tui.klaviyo.errors.UnreadableResponse": ExitCode.UNREACHABLE,
    "askel_tui.klaviyo.errors.KlaviyoError": ExitCode.FAILED,
    "askel_tui.klaviyo.reads.key_check.OtherAccount": ExitCode.KEY_OR_SCOPE,
    "askel_tui.klaviyo.http.BadAddress": ExitCode.USAGE,
    "askel_tui.klaviyo.rate_limits.limiter.BudgetsStayOn": ExitCode.USAGE,
    "askel_tui.services.connections.KeyUnsuited": ExitCode.KEY_OR_SCOPE,
    "askel_tui.services.connections.ConnectionRefused": ExitCode.REFUSED,
    "askel_tui.services.workflows.InvalidWorkflow": ExitCode.REFUSED,
    "askel_tui.sync.engine.commands.CommandRefused": ExitCode.REFUSED,
    "askel_tui.sync.engine.command_bus.CommandUnanswered": ExitCode.FAILED,
    "askel_tui.services.dry_run.DryRunImpossible": ExitCode.FAILED,
    "askel_tui.services.direct_requests.NotFound": ExitCode.REFUSED,
    "askel_tui.api.server.server.ListenRefused": ExitCode.USAGE,
}
"""Errors that are expected, by name, so that the table imports none of them. The nearest class counts."""

_API_KEY_PATTERN = re.compile(r"pk_\w{4,}")
_TOKEN_PATTERN = re.compile(r"(askel_[0-9a-f]{12}_)[\w-]{16,}")
_AUTHORIZATION_PATTERN = re.compile(r"(Klaviyo-API-Key\s+)\S+", re.IGNORECASE)
_SECRET_VARIABLES = ("ASKEL_VAULT_KEY", "ASKEL_DATABASE_URL")


def run_guarded(command: Callable[[], Any]) -> int:
    """Runs a command of click's; gives the exit code, having said what there is to say."""
    try:
        result = command()
        sys.stdout.flush()
    except Exception as error:
        return _exit_code_after(error)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    return int(result) if isinstance(result, int) else ExitCode.DONE


def _exit_code_after(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        return _discard_output()
    if isinstance(error, click.Abort):
        return INTERRUPTED_EXIT_CODE
    try:
        return _report_error(error)
    except BrokenPipeError:
        return _discard_output()


def _report_error(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        put_message(scrub(_usage_sentence(error)))
        return error.exit_code
    if isinstance(error, CommandError):
        _put_sentence(str(error))
        return error.exit_code
    code = exit_code_of(error)
    if code is not None:
        return _report_expected(error, code)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _put_sentence(f"{where}{error.strerror.lower()}")
        return ExitCode.FAILED
    _put_sentence(_describe_crash(error))
    return ExitCode.FAILED


def exit_code_of(error: BaseException) -> ExitCode | None:
    """The exit code of an expected error; None for one that nobody expected."""
    for kind in type(error).__mro__:
        code = CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None


def _report_expected(error: Exception, code: ExitCode) -> int:
    problems = getattr(error, "problems", None)
    if problems is None:
        _put_sentence(str(error))
        return code
    for problem in problems:
        put_message(scrub(str(problem)))
    return ExitCode.KEY_OR_SCOPE if getattr(error, "only_scopes", False) else code


def _put_sentence(sentence: str) -> None:
    put_message(scrub(f"askel: {sentence}"))


def _usage_sentence(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError) or context is None:
        return f"askel: {message}"
    end = "" if message.endswith("?") else "."
    return f"{context.command_path}: {message}{end} See `{context.command_path} --help`."


def scrub(text: str) -> str:
    """The text without anything that looks like an API key or is a secret of the environment."""
    text = _TOKEN_PATTERN.sub(r"\1…", _AUTHORIZATION_PATTERN.sub(r"\1…", _API_KEY_PATTERN.sub("pk_…", text)))
    for name in _SECRET_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, "…")
    return text


def _describe_crash(error: Exception) -> str:
    kind = type(error).__name__
    try:
        report = _write_crash_report(error)
    except Exception as trouble:
        return (
            f"something went wrong that Askel did not expect ({kind}); no report could be written: {trouble}"
        )
    return f"something went wrong that Askel did not expect ({kind}); a report without keys is in {report}"


def _write_crash_report(error: Exception) -> Path:
    """Writes the crash report, 0600. It holds the path through the code, never values of variables."""
    from askel_tui.store.paths import crashes_dir, home, make_private

    directory = crashes_dir(home())
    make_private(directory)
    path = directory / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.txt"
    about = {"askel": __version__, "python": sys.version.split()[0], "platform": sys.platform}
    trace = "".join(traceback.format_exception(error))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{encode_json(about)}\n\n{scrub(trace)}")
    return path


def _discard_output() -> int:
    """Whoever read our output has gone: what is left goes nowhere, without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return ExitCode.FAILED
