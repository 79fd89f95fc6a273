"""`askel audit`: shows, verifies and exports every write and decision."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from askel_tui.cli.common import asynchronous, exit_with, json_option, open_instance, run_async
from askel_tui.cli.lazy_group import SuggestingGroup
from askel_tui.cli.output import format_cell, put_json, put_json_line, put_message, put_wrapped
from askel_tui.cli.times import TimeParam, epoch_ms
from askel_tui.core.exit_codes import ExitCode
from askel_tui.core.planning.disposition import describe_gate_answer
from askel_tui.core.requests.differences import describe_differences
from askel_tui.text.json_text import encode_json
from askel_tui.text.numbers import pluralize
from askel_tui.text.shortening import join_first
from askel_tui.text.times import format_timestamp, to_rfc3339

if TYPE_CHECKING:
    from askel_tui.store.journal.rows import AuditEntry, AuditFilter
    from askel_tui.sync.instance import Instance

F = TypeVar("F", bound=Callable[..., Any])

ENTRIES_PER_PAGE = 1000
MIN_SHOWN_AGE_MS = 1_000
"""The age of a gate's answer from which on a line of text says it."""

DEFAULT_SHOWN_ENTRIES = 50
"""Entries that are shown to people without `--last`."""


def _filter_options(command: F) -> F:
    for option in (
        click.option(
            "--differing", is_flag=True, help="Only where Klaviyo's answer differs from what was sent."
        ),
        click.option("--text", metavar="TEXT", help="Only entries that hold this text somewhere."),
        click.option(
            "--until", type=TimeParam(end=True), help="Only until then: a date (its end) or RFC 3339."
        ),
        click.option("--since", type=TimeParam(), help="Only since then: a date or RFC 3339."),
        click.option(
            "--actor", metavar="WHO", help="Only what they did: token:shop, cli:ada; shop and ada do as well."
        ),
        click.option("--kind", metavar="KIND", help="Only this kind: upsert_profile, activate, hold, …"),
        click.option(
            "--status", metavar="STATUS", help="Only with this outcome: written, failed, skipped, …"
        ),
        click.option("--profile", metavar="WHO", help="Only this profile: e-mail, phone or external id."),
        click.option("--record", metavar="ID", help="Only this record's."),
        click.option("--step", metavar="STEP", help="Only this step's."),
        click.option("--workflow", metavar="NAME", help="Only this workflow's."),
        click.option("--connection", metavar="NAME", help="Only this connection's."),
    ):
        command = option(command)
    return command


def _audit_filter(since: datetime | None, until: datetime | None, **words: Any) -> AuditFilter:
    from askel_tui.store.journal.rows import AuditFilter

    return AuditFilter(
        since=epoch_ms(since) if since else None,
        until=epoch_ms(until) if until else None,
        **words,
    )


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@_filter_options
@click.option(
    "--last",
    type=click.IntRange(1),
    help=f"Only the newest N; without --json {DEFAULT_SHOWN_ENTRIES} by default.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new entries, until interrupted.")
@json_option
@click.pass_context
def audit(ctx: click.Context, /, last: int | None, follow: bool, as_json: bool, **filters: Any) -> None:
    """Show every write and every decision, oldest first; --json gives one object a line.

    A request that carried several operations has its body in the first of their entries; the next ones point there
    (`body_at`).

    \b
    Examples:
      askel audit --workflow first-points-welcome --status failed
      askel audit --profile ada@example.com --json
      askel audit --follow
    """
    if ctx.invoked_subcommand is not None:
        given = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"options go after `{ctx.invoked_subcommand}`", ctx)
        return
    run_async(_show(_audit_filter(**filters), last, follow, as_json))


async def _show(entry_filter: AuditFilter, last: int | None, follow: bool, as_json: bool) -> None:
    rows = AuditRows()

    def write(entry: AuditEntry) -> None:
        if as_json:
            put_json_line(rows.row(entry))
        else:
            _put_text(entry)

    async with open_instance() as instance:
        if not follow:
            if as_json and last is None:
                async for entry in _all_entries(instance, entry_filter):
                    write(entry)
            else:
                await _newest(
                    instance, entry_filter, last or DEFAULT_SHOWN_ENTRIES, write, mention_more=last is None
                )
            return
        seen = await _last_seq(instance)
        seen = max(seen, await _newest(instance, entry_filter, last or 10, write, mention_more=False))
        sys.stdout.flush()
        async for entry in instance.journal.follow_audit(entry_filter, seen):
            write(entry)
            sys.stdout.flush()


async def _newest(
    instance: Instance,
    entry_filter: AuditFilter,
    limit: int,
    write: Callable[[AuditEntry], None],
    *,
    mention_more: bool,
) -> int:
    """Writes the newest entries; returns the `seq` of the last one, 0 without any."""
    entries = await instance.journal.audit_entries(entry_filter, limit=limit + 1, newest=True)
    for entry in entries[-limit:]:
        write(entry)
    if mention_more and len(entries) > limit:
        put_message(f"the newest {limit}; --last N shows more, --json all")
    return entries[-1].position if entries else 0


async def _last_seq(instance: Instance) -> int:
    from askel_tui.store.journal.rows import AuditFilter

    newest = await instance.journal.audit_entries(AuditFilter(), limit=1, newest=True)
    return newest[0].position if newest else 0


async def _all_entries(instance: Instance, entry_filter: AuditFilter) -> AsyncIterator[AuditEntry]:
    seen = 0
    while page := await instance.journal.audit_entries(entry_filter, after=seen, limit=ENTRIES_PER_PAGE):
        for entry in page:
            yield entry
        seen = page[-1].position


async def _entries_with_evidence(
    instance: Instance, entry_filter: AuditFilter
) -> AsyncIterator[tuple[AuditEntry, dict[str, Any]]]:
    seen = 0
    while page := await instance.journal.audit_entries(entry_filter, after=seen, limit=ENTRIES_PER_PAGE):
        evidence = await instance.journal.entry_evidence([entry.position for entry in page])
        for entry in page:
            yield entry, evidence.get(entry.position, {})
        seen = page[-1].position


async def _acceptances(instance: Instance) -> AsyncIterator[dict[str, Any]]:
    seen = 0
    while page := await instance.journal.acceptance_rows(seen, ENTRIES_PER_PAGE):
        seen = page[-1]["position"]
        for row in page:
            yield {**row, "at": to_rfc3339(row["at"])}


class AuditRows:
    """Entries as JSON documents. The body of a request of several operations is in the first of their entries only;
    the others give the `seq` of that one."""

    def __init__(self) -> None:
        self._request: object = None
        self._at = 0

    def row(self, entry: AuditEntry) -> dict[str, Any]:
        """Makes the document of one entry, with its time as RFC 3339."""
        row = {each.name: getattr(entry, each.name) for each in fields(entry)}
        row["at"] = to_rfc3339(entry.at)
        if entry.request is None:
            return row
        if entry.request["id"] == self._request:
            row["request"] = {**entry.request, "body": None, "body_at": self._at}
        else:
            self._request, self._at = entry.request["id"], entry.seq
        return row


def _put_text(entry: AuditEntry) -> None:
    source = "/".join(filter(None, (entry.workflow, entry.step))) or entry.connection or ""
    profile = next(iter(entry.profile.values()), "") if entry.profile else ""
    target = (entry.target or {}).get("name") or ""
    record = f"record {entry.record}" if entry.record else ""
    response = entry.response or {}
    detail = response.get("detail") or ""
    by = f"by {entry.actor}" + (f" for {entry.claimed}" if entry.claimed else "")
    head = f"{format_timestamp(entry.at)}  {entry.status:<11}  {entry.kind:<16}"
    if not isinstance(detail, str):
        detail = encode_json(detail)
    gate = response.get("gate") or {}
    answered = describe_gate_answer(gate) if gate.get("age_ms", 0) >= MIN_SHOWN_AGE_MS else ""
    words = filter(
        None,
        (
            source,
            profile,
            target,
            record,
            by,
            detail,
            answered,
            describe_differences(response.get("differences")),
        ),
    )
    put_wrapped((head, *map(format_cell, words)))


@audit.command()
@json_option
@asynchronous
async def verify(as_json: bool) -> None:
    """Check the whole chain: exit 1 where an entry was changed, removed or inserted.

    \b
    Example:
      askel audit verify
    """
    async with open_instance() as instance:
        checked = await instance.journal.verify_audit()
    broken = checked.broken
    if as_json:
        put_json(
            {
                "entries": checked.entries,
                "acceptances": checked.acceptances,
                "erased": checked.erased,
                "erased_at": [{"chain": chain, "seq": seq} for chain, seq in checked.erased_at],
                "broken_at": None if broken is None else broken.seq,
                "chain": None if broken is None else broken.chain,
                "why": None if broken is None else broken.why,
            }
        )
    if broken is not None:
        put_message(f"the chain {broken.chain} is broken at entry {broken.seq}: {broken.why}")
        exit_with(ExitCode.FAILED)
    put_message(f"the chain holds: {pluralize(checked.entries, 'entry', 'entries')}")
    if checked.erased:
        named = [f"{chain} entry {seq}" for chain, seq in checked.erased_at]
        put_message(f"{checked.erased} erased, which is no fault: {join_first(named)}")


@audit.command()
@_filter_options
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    help="The file to write, readable by you only.",
)
@asynchronous
async def export(output: str, **filters: Any) -> None:
    """Write entries to a file, one JSON object a line, whole or not at all.

    Each line carries the salts and the exact texts that its hash commits to, so that the file can be verified
    elsewhere (docs/audit.md). Without a filter the acceptances of records come first.

    \b
    Example:
      askel audit export --output audit.jsonl --since 2026-01-01
    """
    path = Path(output)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        async with open_instance() as instance:
            with os.fdopen(_create_private(draft, path), "w", encoding="utf-8") as file:
                if not any(filters.values()):
                    async for row in _acceptances(instance):
                        file.write(f"{encode_json(row)}\n")
                rows = AuditRows()
                async for entry, evidence in _entries_with_evidence(instance, _audit_filter(**filters)):
                    row = rows.row(entry)
                    if row["request"] and "body_at" in row["request"]:
                        evidence.pop("parts", None)
                    file.write(f"{encode_json(row | evidence)}\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    put_message(f"{pluralize(count, 'entry', 'entries')} in {output}")


def _create_private(draft: Path, output: Path) -> int:
    """Creates the draft of a file, 0600. Raises `OSError` with the path that was given."""
    try:
        return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from None
