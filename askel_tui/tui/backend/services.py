"""The services that screens call through `Backend.call`.

Those of `askel_tui.services` that fit as they are stand here by name, and are imported when they are called, in the
backend's thread; the functions below put others together. Nothing heavy is imported before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from askel_tui.text.times import to_rfc3339
from askel_tui.tui.backend.access import LazyFunction, reads, writes

LAZY = {
    name: LazyFunction(f"askel_tui.{module}", function, writes=changes)
    for name, module, function, changes in (
        ("read_status", "services.status", "read_status", False),
        ("dry_run", "services.dry_run", "dry_run", False),
        ("connect", "services.connections", "connect", True),
        ("check_connection", "services.connections", "check", True),
        ("rotate", "services.connections", "rotate", True),
        ("disconnect", "services.connections", "disconnect", True),
        ("apply", "services.workflows", "apply", True),
        ("activate", "services.workflows", "activate", True),
        ("replan", "services.workflows", "replan", True),
        ("running_version", "services.workflows", "running_version", False),
        ("preview_replan", "services.replanning", "preview_replan", False),
        ("change_setting", "services.settings", "change", True),
        ("submit", "sync.engine.command_bus", "submit", True),
    )
}
"""The services that screens use as they are, by name: module, function, and whether it writes."""

if TYPE_CHECKING:
    import askel_tui.services.connections
    import askel_tui.services.dry_run
    import askel_tui.services.replanning
    import askel_tui.services.settings
    import askel_tui.services.status
    import askel_tui.services.workflows
    from askel_tui.core.records.record import Record, RefusedLine
    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.services.discovery import DiscoveredCatalog
    from askel_tui.services.ingest import IngestResult
    from askel_tui.services.record_files import FileOptions, FilePreview
    from askel_tui.store.state.documents import ConnectionDoc
    from askel_tui.sync.engine import command_bus
    from askel_tui.sync.instance import Instance

    read_status = askel_tui.services.status.read_status
    dry_run = askel_tui.services.dry_run.dry_run
    connect = askel_tui.services.connections.connect
    check_connection = askel_tui.services.connections.check
    rotate = askel_tui.services.connections.rotate
    disconnect = askel_tui.services.connections.disconnect
    apply = askel_tui.services.workflows.apply
    activate = askel_tui.services.workflows.activate
    replan = askel_tui.services.workflows.replan
    running_version = askel_tui.services.workflows.running_version
    preview_replan = askel_tui.services.replanning.preview_replan
    change_setting = askel_tui.services.settings.change
    submit = command_bus.submit
else:

    def __getattr__(name):
        try:
            return LAZY[name]
        except KeyError:
            raise AttributeError(name) from None


# The account.


@reads
async def discover(
    instance: Instance, connection: str, sections: Collection[str] | None = None
) -> DiscoveredCatalog:
    """Reads sections of the catalog (all without) from Klaviyo and keeps them. Raises `KlaviyoError`."""
    from askel_tui.klaviyo.reads.catalog import SECTIONS
    from askel_tui.services.discovery import discover

    return await discover(instance, connection, await instance.client(connection), sections or SECTIONS)


@reads
async def check_segment(instance: Instance, connection: str, segment: str, profile: str) -> dict[str, Any]:
    """Checks whether a profile (as typed) is in a segment (`services.direct.requests.check_segment_membership`)."""
    from askel_tui.services.direct.requests import check_segment_membership, parse_identity

    return await check_segment_membership(instance, connection, segment, parse_identity(profile))


@reads
async def count_members(
    instance: Instance, connection: str, kind: Literal["list", "segment"], target_id: str
) -> int | None:
    """Counts the profiles that are on a list or in a segment now; 15 such calls a minute. Raises `KlaviyoError`."""
    from askel_tui.contract.calls import Call

    client = await instance.client(connection)
    call = Call.GET_LIST if kind == "list" else Call.GET_SEGMENT
    query = {f"additional-fields[{kind}]": "profile_count", f"fields[{kind}]": "name,profile_count"}
    answer = await client.call(call, ids={"id": target_id}, query=query)
    found = answer.body["data"]["attributes"].get("profile_count")
    return found if isinstance(found, int) else None


# Connections.


@writes
async def change_connection(
    instance: Instance, name: str, actor: str, fields: Mapping[str, Any]
) -> ConnectionDoc:
    """Sets fields of a connection (`services.connections.change`)."""
    from askel_tui.services.connections import change

    return await change(instance, name, actor, **fields)


@writes  # Write scopes are probed by requests that cannot write, yet are no reads.
async def check_key(instance: Instance, key: str, revision: str) -> KeyCheck:
    """Reads the scopes of a key that is not stored. Raises `KlaviyoError`, `InvalidKey`."""
    from askel_tui.klaviyo.reads.key_check import check_key

    async with await _client_of_key(instance, key, revision) as client:
        return await check_key(client)


@reads
async def lists_visible_to(instance: Instance, key: str, revision: str) -> list[str]:
    """Reads the names and ids of the lists that a key which is not stored can see.

    Raises `KlaviyoError`, `InvalidKey`.
    """
    from askel_tui.klaviyo.reads.catalog import read_catalog

    async with await _client_of_key(instance, key, revision) as client:
        lists = (await read_catalog(client, sections=["lists"])).lists
        return [each.name for each in lists] + [each.id for each in lists]


async def _client_of_key(instance: Instance, key: str, revision: str) -> Client:
    from askel_tui.core.fingerprints import fingerprint
    from askel_tui.store.secrets.key_store import check_key as normalized_key

    key = normalized_key(key)
    # About the key it says the same at every revision, a retired one too.
    return await instance.client_for(key, revision, f"key:{fingerprint(key)}", accept_retired=True)


@writes
async def send_test_notice(instance: Instance, addresses: Sequence[str], actor: str) -> list[str | None]:
    """Sends a notice that says it is a test; returns, per address, None or why the notice could not be sent."""
    from askel_tui.services.notices import send_tests

    return await send_tests(instance, addresses, actor)


# Files.


@reads
async def read_records_file(instance: Instance, file: Path) -> tuple[list[Record], list[RefusedLine]]:
    """Reads the records of a file, and its lines that are no records; nothing is stored. Raises `OSError`."""
    from askel_tui.core.records.record import RefusedLine
    from askel_tui.services.record_files import open_record_file

    def read() -> tuple[list[Record], list[RefusedLine]]:
        with file.open("rb") as stream, open_record_file(stream, file.name) as opened:
            found = [each for _, each in opened.read(to_rfc3339(instance.clock()))]
        records = [each for each in found if not isinstance(each, RefusedLine)]
        return records, [each for each in found if isinstance(each, RefusedLine)]

    return await asyncio.to_thread(read)


@reads
async def preview_file(instance: Instance, file: Path, options: FileOptions) -> FilePreview:
    """Recognizes a file and reads its first records; nothing is stored. Raises `OSError` and `UnreadableFile`."""
    from askel_tui.services.record_files import preview

    def read() -> FilePreview:
        with file.open("rb") as stream:
            return preview(stream, file.name, to_rfc3339(instance.clock()), options)

    return await asyncio.to_thread(read)


@writes
async def ingest_file(
    instance: Instance,
    connection: str,
    file: Path,
    options: FileOptions,
    progress: Callable[[IngestResult], None] | None = None,
) -> IngestResult:
    """Ingests the records of a file; `progress` is called from another thread.

    Raises `OSError` and `UnreadableFile`.
    """
    from askel_tui.services.actors import local_actor
    from askel_tui.services.ingest import store_records
    from askel_tui.services.record_files import open_record_file

    with file.open("rb") as stream, open_record_file(stream, file.name, options) as opened:
        found = opened.read(to_rfc3339(instance.clock()))
        actor = local_actor("console")
        return await store_records(instance, connection, found, actor=actor, progress=progress)


@writes
async def save_config(_: Instance, directory: Path, name: str, value: str) -> None:
    """Sets one line of the user's `config.yaml`; the others stay. Raises `HomeUnusable`, `OSError`."""
    from askel_tui.store.atomic_files import replace_file
    from askel_tui.tui.preferences.config_edit import with_setting

    def save() -> None:
        # A symbolic link stays one: people keep such files elsewhere.
        file = (directory / "config.yaml").resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text("utf-8") if file.exists() else ""
        replace_file(file, with_setting(before, name, value).encode())

    await asyncio.to_thread(save)
