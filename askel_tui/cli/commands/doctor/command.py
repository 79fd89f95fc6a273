"""`askel doctor`: checks everything, and says what to do where something is wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from askel_tui import __version__
from askel_tui.cli.common import asynchronous, exit_with, json_option
from askel_tui.cli.output import put_json, put_message, put_table
from askel_tui.contract.revisions import RevisionStatus, describe
from askel_tui.contract.revisions import status as revision_status
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.text.numbers import pluralize
from askel_tui.text.times import describe_clock, utc_day

if TYPE_CHECKING:
    from askel_tui.sync.instance import Instance

CHECKED_PACKAGES = (
    "click",
    "httpx",
    "httpx-aiohttp",
    "aiohttp",
    "pydantic",
    "tinydb",
    "keyring",
    "cryptography",
    "textual",
)


WEEK_MS = 7 * 86_400_000
MAX_IMBALANCES = 1_000
"""The largest number of bulk jobs with wrong figures that are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked, whether it is in order, and what was found."""

    what: str
    ok: bool
    found: str


@click.command()
@json_option
@asynchronous
async def doctor(as_json: bool) -> None:
    """Check the home, the journal and its chain, keys, the daemon with its HTTP API, and every connection.

    Exits 1 where something is wrong.

    \b
    Example:
      askel doctor
    """
    findings = await _findings()
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        put_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    else:
        put_table(
            ("", "what", "found"),
            [("ok" if each.ok else "WRONG", each.what, each.found) for each in findings],
        )
    if wrong:
        put_message(f"{pluralize(len(wrong), 'thing')} {'is' if len(wrong) == 1 else 'are'} wrong")
        exit_with(ExitCode.FAILED)
    put_message("everything is in order")


async def _findings() -> list[Finding]:
    findings = [Finding("Askel", True, f"{__version__}, Python {sys.version.split()[0]}"), _package_finding()]
    home = _run_check("home", _check_home)
    findings.append(home)
    if not home.ok:
        return findings
    findings.append(_run_check("file system", _check_file_system))
    return [*findings, *await _instance_findings()]


def _package_finding() -> Finding:
    found, missing = [], []
    for name in CHECKED_PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    text = f"missing: {', '.join(missing)}" if missing else ", ".join(found)
    return Finding("packages", not missing, text)


def _run_check(what: str, check: Callable[[], str | tuple[bool, str]]) -> Finding:
    """Runs a check and returns its finding: in order unless the check says otherwise.

    An expected error is a finding too.
    """
    try:
        found = check()
        return Finding(what, True, found) if isinstance(found, str) else Finding(what, *found)
    except Exception as error:
        return _error_finding(what, error)


def _error_finding(what: str, error: Exception) -> Finding:
    if not isinstance(error, AskelError | OSError):
        raise error
    return Finding(what, False, str(error))


def _check_home() -> str:
    from askel_tui.store.paths import home

    directory = home()
    probe = directory / f".doctor-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
    finally:
        probe.unlink(missing_ok=True)
    mode = directory.stat().st_mode & 0o777
    others = "" if mode & 0o077 == 0 else f"; others may read it (mode {mode:o}; chmod 700 closes it)"
    return f"{directory}, writable{others}"


def _check_file_system() -> str:
    from askel_tui.store.paths import default_home, file_system_type

    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "not known on this system"
    text = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    return file_system_type(os.path.realpath(default_home()), text) or "not known"


async def _instance_findings() -> list[Finding]:
    from askel_tui.sync.instance import open_instance

    findings: list[Finding] = []
    try:
        async with open_instance() as instance:
            findings.append(Finding("journal", True, "opens"))
            findings.append(await _chain_finding(instance))
            findings.append(await _import_job_finding(instance))
            findings.append(await _notices_finding(instance))
            findings.append(_run_check("state", lambda: _check_state(instance)))
            findings += _revision_findings(instance)
            keys = await asyncio.to_thread(_run_check, "keys", lambda: instance.secrets().backend_name)
            findings += [keys, _run_check("daemon", lambda: _check_daemon(instance))]
            if all(finding.ok for finding in findings):
                findings += [
                    await _connection_finding(instance, doc.name) for doc in instance.state.connections()
                ]
            findings += await asyncio.to_thread(_api_findings, instance, keys.ok)
    except Exception as error:
        findings.append(_error_finding("journal", error))
    return findings


async def _chain_finding(instance: Instance) -> Finding:
    checked = await instance.journal.verify_audit()
    broken = checked.broken
    if broken is not None:
        return Finding("audit chain", False, f"{broken.chain} is broken at entry {broken.seq}: {broken.why}")
    return Finding("audit chain", True, f"holds, {pluralize(checked.entries, 'entry', 'entries')}")


async def _import_job_finding(instance: Instance) -> Finding:
    """Checks whether Klaviyo's figures added up for every bulk job of the last week: accepted = written + failed."""
    from askel_tui.store.journal.rows import AuditFilter

    imbalances = AuditFilter(kind="imbalance", since=instance.clock() - WEEK_MS)
    wrong = await instance.journal.audit_entries(imbalances, newest=True, limit=MAX_IMBALANCES)
    if not wrong:
        return Finding("bulk receipts", True, "every bulk job of the last week adds up")
    detail = (wrong[-1].response or {}).get("detail") or {}
    last = f"the last one {detail.get('job')}: {detail.get('detail')} (`askel audit --kind imbalance`)"
    return Finding("bulk receipts", False, f"{pluralize(len(wrong), 'job')} did not add up, {last}")


async def _notices_finding(instance: Instance) -> Finding:
    """Checks whether notices reach the team, as far as it was tried."""
    from askel_tui.services.notices import read_delivery_states

    states = await read_delivery_states(instance)
    failing = [each for each in states if each.error is not None]
    if failing:
        listed = "; ".join(f"{each.address}: {each.error}" for each in failing)
        return Finding("notices", False, f"can't be delivered to {listed} (`askel notify test` tries it)")
    return Finding("notices", True, f"{pluralize(len(states), 'address', 'addresses')}, all delivered")


def _revision_findings(instance: Instance) -> list[Finding]:
    """Names the connections whose revision is no longer stable; wrong is one that is retired, and not accepted so."""
    today = utc_day(instance.clock())
    return [
        Finding(
            f"revision of {doc.name}",
            doc.accept_retired or status is not RevisionStatus.RETIRED,
            f"{doc.revision}, {describe(doc.revision, today)}",
        )
        for doc in instance.state.connections()
        if (status := revision_status(doc.revision, today)) is not RevisionStatus.STABLE
    ]


def _check_state(instance: Instance) -> str:
    connections, workflows = instance.state.connections(), instance.state.workflows()
    return f"{pluralize(len(connections), 'connection')}, {pluralize(len(workflows), 'workflow')}"


def _check_daemon(instance: Instance) -> str:
    from askel_tui.store.locks import owner_pid

    pid = owner_pid(instance.home)
    if pid is None:
        return "not running"
    from askel_tui.cli.commands.doctor.api_checks import systemd_unit

    unit = systemd_unit(pid) if pid else None
    return f"running, process {pid or '?'}" + (f", {unit}" if unit else "")


def _api_findings(instance: Instance, keys: bool) -> list[Finding]:
    """Collects the findings about the HTTP API. `keys` is True if the vault or keyring can be opened."""
    from askel_tui.cli.commands.doctor import api_checks

    findings = [
        _run_check("HTTP API", lambda: api_checks.check_api(instance)),
        _run_check("tokens", lambda: api_checks.check_tokens(instance)),
    ]
    if keys:
        findings.append(_run_check("webhooks", lambda: api_checks.check_webhooks(instance)))
    return findings


async def _connection_finding(instance: Instance, name: str) -> Finding:
    what = f"connection {name}"
    try:
        client = await instance.client(name)
        from askel_tui.klaviyo.reads.key_check import check_account

        await check_account(client, instance.state.connection(name).account)
    except Exception as error:
        return _error_finding(what, error)
    found = f"{client.address} answers and takes the key"
    there = client.server_time()
    clock = None if there is None else describe_clock(instance.clock(), there)
    return Finding(what, clock is None, found if clock is None else f"{found}, but {clock}: set it")
