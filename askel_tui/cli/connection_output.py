"""A connection as the command line shows it: a JSON document for programs, tables for people."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from askel_tui.cli.output import put, put_message, put_table
from askel_tui.contract.revisions import RevisionStatus, describe, describe_service, status
from askel_tui.text.numbers import pluralize

if TYPE_CHECKING:
    from askel_tui.klaviyo.reads.key_check import KeyCheck
    from askel_tui.store.state.documents import ConnectionDoc


def connection_row(document: ConnectionDoc) -> dict[str, Any]:
    """Makes the JSON document of a connection. Addresses of notices may hold tokens, so only their number is in it."""
    from askel_tui.text.times import to_rfc3339

    before = document.before_move
    return {
        "name": document.name,
        "account": document.account,
        "account_name": document.account_name,
        "revision": document.revision,
        "served": describe_service(document.revision, _today()),
        "revision_status": status(document.revision, _today()).value,
        "revision_note": describe(document.revision, _today()),
        "accept_retired": document.accept_retired,
        "canary": document.canary.to if document.canary else None,
        "unconfirmed_since": to_rfc3339(before.moved) if before and not before.confirmed else None,
        "key": document.key,
        "customer": document.customer,
        "only_lists": list(document.only_lists),
        "notify": len(document.notify),
        "on_conflict": document.on_conflict,
        "pause_after": document.pause_after,
        "scopes": dict(sorted(document.scopes.items())),
        "created": to_rfc3339(document.created),
    }


def revision_cell(document: ConnectionDoc) -> str:
    """Returns a connection's revision, and what it is today where it is no longer stable."""
    stable = status(document.revision, _today()) is RevisionStatus.STABLE
    words = [document.revision, *([] if stable else [describe(document.revision, _today())])]
    if document.canary is not None:
        words.append(f"canary at {document.canary.to}")
    elif document.before_move is not None and not document.before_move.confirmed:
        words.append(f"moved from {document.before_move.revision}, not confirmed")
    return ", ".join(words)


def _today() -> date:
    return datetime.now(UTC).date()


def check_row(document: ConnectionDoc, check: KeyCheck) -> dict[str, Any]:
    """Makes the JSON document of a connection, with the features that its key lacks scopes for."""
    lacking = [{"feature": feature, "missing": list(scopes)} for feature, scopes in check.missing_features]
    return {**connection_row(document), "lacking": lacking}


def put_check(document: ConnectionDoc, check: KeyCheck) -> None:
    """Writes a connection, the scopes of its key, and the features that lack some."""
    marks = {"present": "[x]", "missing": "[ ]", "not verified": "[?]"}
    account = "an account that the key may not name: it is known by the key's fingerprint only"
    if check.account:
        account = check.account + (f" ({check.account_name})" if check.account_name else "")
    fields = (
        ("connection", document.name),
        ("account", account),
        ("revision", revision_cell(document)),
        ("key", document.key),
    )
    put_table(("", ""), fields)
    put()
    scopes = [(scope, marks[state], state) for scope, state in sorted(check.scopes.items())]
    put_table(("scope", "", ""), scopes)
    if check.missing_features:
        put()
        features = [(feature, ", ".join(scopes)) for feature, scopes in check.missing_features]
        put_table(("can't do", "missing scopes"), features)
        lacking = f"{pluralize(len(features), 'feature')} can't work with this key"
    elif unverified := sum(state == "not verified" for state in check.scopes.values()):
        lacking = f"nothing is missing as far as can be seen; {pluralize(unverified, 'scope')} could not be verified"
    else:
        lacking = "its key can do all that Askel does"
    put_message(f"{document.name} is connected; {lacking}")
