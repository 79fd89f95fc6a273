"""Connections: connect with a checked key, check again, rotate the key, change, disconnect."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from askel_tui.contract.revisions import NEWEST, RELEASES, REVISIONS, RevisionStatus, describe, status
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.core.fingerprints import fingerprint
from askel_tui.core.hold_causes import KEY_CAUSES
from askel_tui.core.operations import OnConflict
from askel_tui.core.problems import did_you_mean
from askel_tui.core.workflows.loader import load_workflow
from askel_tui.core.workflows.scopes import needed_scopes
from askel_tui.services.notices import check_addresses
from askel_tui.store.journal.rows import Decision
from askel_tui.store.secrets.key_store import check_key as fit_key
from askel_tui.store.state.documents import ConnectionDoc, check_connection_name
from askel_tui.sync.engine.command_bus import submit
from askel_tui.sync.engine.commands import CommandRefused
from askel_tui.sync.instance import Instance, account_key
from askel_tui.text.times import utc_day

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck


class ConnectionRefused(AskelError):
    """A connection that can't be made or changed as asked; the message says why and what to do."""

    exit_code = ExitCode.REFUSED


class KeyUnsuited(ConnectionRefused):
    """A key that doesn't suit the connection: another account's, or without a required scope."""

    exit_code = ExitCode.KEY_OR_SCOPE


class RetiredRevision(ConnectionRefused):
    """A retired revision that nobody agreed to; `question` says so without naming flags."""

    def __init__(self, question: str) -> None:
        super().__init__(
            f"{question} --accept-retired takes it as Klaviyo serves it; or name a newer one with --revision"
        )
        self.question = question


def check_retired(revision: str, accept_retired: bool, today: date) -> None:
    """Checks that somebody agreed to a revision that is retired. Raises `RetiredRevision`."""
    if status(revision, today) is RevisionStatus.RETIRED and not accept_retired:
        raise RetiredRevision(f"Revision {revision} is {describe(revision, today)}, or not served at all.")


async def connect(
    instance: Instance,
    name: str,
    key: str,
    actor: str,
    *,
    revision: str | None = None,
    customer: str | None = None,
    only_lists: Sequence[str] = (),
    notify: Sequence[str] = (),
    on_conflict: OnConflict = "fail",
    accept_retired: bool = False,
) -> tuple[ConnectionDoc, KeyCheck]:
    """Makes a connection from a key, once Klaviyo accepts the key; nothing is stored before that.

    Raises `RetiredRevision`, `ConnectionRefused`, `InvalidNoticeAddress`, `KeyUnsuited`, `InvalidName`,
    `NoSafeKeyring`, and `KlaviyoError` where the key is refused or Klaviyo can't be reached.
    """
    check_connection_name(name)
    key = fit_key(key)
    revision = check_revision(revision or NEWEST)
    if any(doc.name == name for doc in instance.state.connections()):
        raise ConnectionRefused(
            f"a connection called {name} exists: `askel rotate {name}` gives it a new key, "
            f"`askel disconnect {name}` takes it away"
        )
    check_retired(revision, accept_retired, utc_day(instance.clock()))
    await check_addresses(notify)
    secrets = instance.secrets()
    check = await _check_unstored_key(
        instance, key, revision, _unknown_account(fingerprint(key)), accept_retired
    )
    _require_base_scopes(check)
    document = ConnectionDoc(
        name=name,
        account=check.account,
        account_name=check.account_name,
        key=fingerprint(key),
        revision=revision,
        accept_retired=accept_retired,
        customer=customer,
        only_lists=tuple(only_lists),
        notify=tuple(notify),
        on_conflict=on_conflict,
        scopes=dict(check.scopes),
        created=instance.clock(),
    )
    await asyncio.to_thread(secrets.set, name, key)
    await asyncio.to_thread(instance.state.save_connection, document)
    await _save_account(instance, document)
    detail: dict[str, Any] = {"account": check.account, "revision": revision, "key": document.key}
    if accept_retired:
        detail["accept_retired"] = True
    await instance.journal.write_decision(Decision("connect", actor, name, detail=detail), instance.clock())
    return document, check


async def check(instance: Instance, name: str) -> tuple[ConnectionDoc, KeyCheck]:
    """Checks a connection's key anew and stores its scopes. Raises `KeyNotStored`, `KeyUnsuited`, `KlaviyoError`."""
    document = instance.state.connection(name)
    client = await instance.client(name)
    from askel_tui.klaviyo.reads.key_check import check_key

    found = await check_key(client)
    _require_same_account(document, found)
    return await _store_check(instance, document, found), found


async def rotate(instance: Instance, name: str, key: str, actor: str) -> tuple[ConnectionDoc, KeyCheck]:
    """Gives a connection a new key of the same account that suits its workflows.

    Holds that the old key caused end. Raises as `connect` does.
    """
    document = instance.state.connection(name)
    key = fit_key(key)
    # It counts towards the account's limits: the keys of an account share them.
    found = await _check_unstored_key(
        instance, key, document.revision, account_key(document), document.accept_retired
    )
    _require_same_account(document, found)
    _require_base_scopes(found)
    lost = _lost_scopes(instance, document, found.scopes)
    if lost:
        raise KeyUnsuited(
            f"the new key lacks {', '.join(sorted(lost))}, which workflows of {name} use; the old key stays"
        )
    await asyncio.to_thread(instance.secrets().set, name, key)
    changed = await _store_check(instance, document, found, key=fingerprint(key))
    detail = {"before": document.key, "after": changed.key}
    await instance.journal.write_decision(Decision("rotate", actor, name, detail=detail), instance.clock())
    # A daemon may hold one more step for the old key until it executes the first of these commands.
    for _ in range(2):
        for hold in await instance.journal.holds():
            if hold.connection == name and hold.cause in KEY_CAUSES:
                with contextlib.suppress(CommandRefused):  # Another cause holds it by now.
                    await submit(instance, "release", hold.release_arguments(), actor)
    return changed, found


async def _store_check(
    instance: Instance, document: ConnectionDoc, found: KeyCheck, **fields: Any
) -> ConnectionDoc:
    changed = await asyncio.to_thread(
        instance.state.change_connection,
        document.name,
        scopes=dict(found.scopes),
        account=document.account or found.account,
        account_name=found.account_name or document.account_name,
        **fields,
    )
    await _save_account(instance, changed)
    return changed


async def _save_account(instance: Instance, document: ConnectionDoc) -> None:
    """Notes the account of a connection; what was sent before it was known counts for it."""
    await instance.journal.save_account(document.name, document.account, instance.clock())
    if document.account:
        await instance.journal.move_slots(_unknown_account(document.key), document.account)


def _unknown_account(fingerprinted: str) -> str:
    """Returns what stands for the account of a key that it is not known of (`account_key`)."""
    return f"key:{fingerprinted}"


async def change(instance: Instance, name: str, actor: str, **fields: Any) -> ConnectionDoc:
    """Sets fields of a connection (`on_conflict`, `pause_after`, `notify`, `customer`); audited.

    A running daemon applies them at once. Raises `UnknownConnection`, `InvalidNoticeAddress`.
    """
    before = instance.state.connection(name)
    await check_addresses(fields.get("notify") or ())
    changed = await asyncio.to_thread(instance.state.change_connection, name, **fields)
    detail = {
        field: {
            "before": _audit_value(getattr(before, field)),
            "after": _audit_value(getattr(changed, field)),
        }
        for field in fields
    }
    await instance.journal.write_decision(Decision("change", actor, name, detail=detail), instance.clock())
    return changed


def _audit_value(value: Any) -> Any:
    """Returns a field's value for the audit; of addresses the count only, for they may hold tokens."""
    return len(value) if isinstance(value, tuple) else value


async def disconnect(instance: Instance, name: str, actor: str) -> ConnectionDoc:
    """Removes a connection and its key. Raises `ConnectionRefused` while workflows use it."""
    document = instance.state.connection(name)
    using = [doc.workflow for doc in instance.state.workflows() if doc.connection == name]
    if using:
        raise ConnectionRefused(
            f"{', '.join(using)} {'use' if len(using) > 1 else 'uses'} {name}: delete "
            f"{'them' if len(using) > 1 else 'it'} first (`askel workflow delete`)"
        )
    await asyncio.to_thread(instance.secrets().delete, name)
    await asyncio.to_thread(instance.state.remove_connection, name)
    await instance.journal.write_decision(Decision("disconnect", actor, name), instance.clock())
    return document


async def _check_unstored_key(
    instance: Instance, key: str, revision: str, account: str, accept_retired: bool
) -> KeyCheck:
    from askel_tui.klaviyo.errors import RevisionRetired
    from askel_tui.klaviyo.reads.key_check import check_key

    client = await instance.client_for(key, revision, account, accept_retired=accept_retired)
    try:
        return await check_key(client)
    except RevisionRetired:
        raise RetiredRevision(f"Klaviyo answers that revision {revision} is retired.") from None
    finally:
        await client.aclose()


def check_revision(revision: str) -> str:
    if revision in REVISIONS:
        return revision
    guess = None if revision in RELEASES else did_you_mean(revision, REVISIONS)
    hint = f"did you mean {guess}?" if guess else f"it can be {' or '.join(REVISIONS)}"
    if revision in RELEASES:
        hint = f"Klaviyo released it, but this Askel does not hold its rules; {hint}"
    raise ConnectionRefused(f"revision {revision} can't be pinned: {hint}")


def _require_base_scopes(found: KeyCheck) -> None:
    """Checks a key for the scopes that every workflow needs. Raises `KeyUnsuited` where one is missing."""
    from askel_tui.klaviyo.reads.key_check import REQUIRED_SCOPES

    lacking = [scope for scope in REQUIRED_SCOPES if found.scopes.get(scope) == "missing"]
    if lacking:
        raise KeyUnsuited(
            f"the key lacks {', '.join(lacking)}; a connection needs {', '.join(REQUIRED_SCOPES)}. "
            "Scopes of a key can't be changed: make a new key in Klaviyo"
        )


def _require_same_account(document: ConnectionDoc, found: KeyCheck) -> None:
    if document.account and found.account and document.account != found.account:
        raise KeyUnsuited(
            f"the key belongs to account {found.account}, but {document.name} is connected to "
            f"{document.account}; nothing was changed"
        )


def _lost_scopes(instance: Instance, document: ConnectionDoc, scopes: Mapping[str, str]) -> set[str]:
    """Finds the scopes that workflows of the connection use and the new key is known to lack."""
    lost: set[str] = set()
    for doc in instance.state.workflows():
        workflow, _ = load_workflow(doc.source, doc.file or doc.workflow)
        if doc.connection == document.name and workflow is not None:
            used = {scope for step in workflow.steps for scope in needed_scopes(step, document.revision)}
            lost |= {scope for scope in used if scopes.get(scope) == "missing"}
    return lost
