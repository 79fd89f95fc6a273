"""Turns the error that ends a command into one sentence on standard error and an exit code, never a traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from askel_tui import __version__
from askel_tui.cli.output import put_message
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.text.json_text import encode_json

INTERRUPTED_EXIT_CODE = 130
"""The exit code of a program that SIGINT ended, as shells report it."""

_API_KEY_PATTERN = re.compile(r"pk_\w{4,}")
_TOKEN_PATTERN = re.compile(r"(askel_[0-9a-f]{12}_)[\w-]{16,}")
_AUTHORIZATION_PATTERN = re.compile(r"(Klaviyo-API-Key\s+)\S+", re.IGNORECASE)
_SECRET_VARIABLE = "ASKEL_VAULT_KEY"


def run_guarded(command: Callable[[], Any]) -> int:
    """Runs a command of click's, reports its error, and gives the exit code."""
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
    if isinstance(error, AskelError):
        for problem in error.problems:
            put_message(scrub(str(problem)))
        if not error.problems:
            _put_sentence(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _put_sentence(f"{where}{error.strerror.lower()}")
        return ExitCode.FAILED
    _put_sentence(_describe_crash(error))
    return ExitCode.FAILED


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
    """Removes API keys, tokens and the vault's passphrase from a text."""
    text = _TOKEN_PATTERN.sub(r"\1…", _AUTHORIZATION_PATTERN.sub(r"\1…", _API_KEY_PATTERN.sub("pk_…", text)))
    secret = os.environ.get(_SECRET_VARIABLE, "")
    return text.replace(secret, "…") if len(secret) >= 4 else text


def _describe_crash(error: Exception) -> str:
    kind = type(error).__name__
    try:
        report = _write_crash_report(error)
    except Exception as failure:
        return (
            f"something went wrong that Askel did not expect ({kind}); no report could be written: {failure}"
        )
    return f"something went wrong that Askel did not expect ({kind}); a report without keys is in {report}"


def _write_crash_report(error: Exception) -> Path:
    """Writes the crash report, 0600. It holds the traceback, never values of variables."""
    from askel_tui.store.paths import crashes_dir, home, make_private

    directory = crashes_dir(home())
    make_private(directory)
    path = directory / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.txt"
    versions = {"askel": __version__, "python": sys.version.split()[0], "platform": sys.platform}
    trace = "".join(traceback.format_exception(error))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{encode_json(versions)}\n\n{scrub(trace)}")
    return path


def _discard_output() -> int:
    """Sends the rest of the output to /dev/null: the program that read it has ended."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(devnull, stream.fileno())
    os.close(devnull)
    return ExitCode.FAILED
