"""Rows and details of connections. Pure; a key is shown as its fingerprint only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from askel_tui.text.numbers import pluralize
from askel_tui.text.sanitizing import sanitize
from askel_tui.text.times import format_timestamp
from askel_tui.tui.screens.connections.scopes_view import scope_checklist, summarize_scopes
from askel_tui.tui.text.notice_addresses import notice_channel_kinds
from askel_tui.tui.widgets.detail_pane import DetailLine, detail_content
from askel_tui.tui.widgets.rows import Cell, Row
from askel_tui.tui.widgets.table import Column

if TYPE_CHECKING:
    from askel_tui.services.status import Status
    from askel_tui.store.state.documents import ConnectionDoc

COLUMNS = (
    Column("connection", 12, 2),
    Column("account", 8, 2),
    Column("customer", 8, 1),
    Column("revision", 10),
    Column("state", 15),
)

STATE_CELLS: dict[str, Cell] = {
    "connected": ("● connected", "$success"),
    "key_refused": ("✗ key refused", "$error"),
    "retired": ("✗ revision retired", "$error"),
    "other_account": ("✗ other account", "$error"),
}

ON_CONFLICT_TEXTS = {
    "fail": "the record fails, and names both profiles",
    "strongest": "the strongest identifier is written with",
    "merge": "the profiles are merged in Klaviyo",
}

MAX_BUDGETS_SHOWN = 3


def table_row(doc: ConnectionDoc, status: Status, chosen: str | None) -> Row:
    """Makes the row of a connection; `chosen` is the one that the screens are about."""
    mark = "▸ " if doc.name == chosen else "  "
    account = doc.account_name or doc.account or "unknown"
    return doc.name, (mark + doc.name, account, doc.customer or "", doc.revision, _state_cell(doc, status))


def _state_cell(doc: ConnectionDoc, status: Status) -> Cell:
    state = next((row.state for row in status.connections if row.name == doc.name), "connected")
    missing = sum(scope == "missing" for scope in doc.scopes.values())
    if state == "connected" and missing:
        return f"! {pluralize(missing, 'scope')} less", "$warning"
    return STATE_CELLS.get(state, state)


def details(doc: ConnectionDoc, docs: Sequence[ConnectionDoc], status: Status) -> Content:
    """Lists the facts about a connection and the scopes of its key; `docs` are all connections."""
    from askel_tui.klaviyo.reads.key_check import missing_features

    unsupported = [
        f"{feature} (wants {', '.join(scopes)})"
        for feature, scopes in missing_features(doc.scopes, doc.revision)
    ]
    words, style = summarize_scopes(doc.scopes, len(unsupported))
    scopes = [Content.styled(sanitize(words), style), scope_checklist(doc.scopes, doc.revision)]
    if unsupported:
        scopes.insert(1, Content.assemble("Can't work: ", (sanitize("; ".join(unsupported)), "$warning")))
    facts = detail_content(doc.name, _detail_lines(doc, docs, status))
    return Content.assemble(facts, ("\n\nScopes\n", "bold $primary"), Content("\n").join(scopes))


def _detail_lines(doc: ConnectionDoc, docs: Sequence[ConnectionDoc], status: Status) -> list[DetailLine]:
    account = "unknown: the key lacks accounts:read; its fingerprint stands for it"
    if doc.account:
        account = f"{doc.account} ({doc.account_name or 'without a name'})"
    note = next((f", {each.revision_note}" for each in status.connections if each.name == doc.name), "")
    kinds = notice_channel_kinds(doc.notify)
    workflows = [
        each.name for each in status.workflows if each.connection == doc.name and each.state != "direct"
    ]
    return [
        ("account", account),
        ("key", doc.key),
        ("revision", doc.revision + note),
        ("customer", doc.customer or "none named"),
        ("may touch", ", ".join(doc.only_lists) or "all lists"),
        ("notices", f"{pluralize(len(doc.notify), 'channel')}: {kinds}" if kinds else "on Overview only"),
        ("on a 409", ON_CONFLICT_TEXTS[doc.on_conflict]),
        ("workflows", ", ".join(workflows) or "none"),
        ("connected", format_timestamp(doc.created)[:16] + "Z"),
        *(_sharing_line(doc, other) for other in docs if _shares_budget(doc, other)),
        ("budget", _budget_text(doc, status)),
    ]


def _shares_budget(doc: ConnectionDoc, other: ConnectionDoc) -> bool:
    """Checks whether another connection is of the same account."""
    same = other.key == doc.key or (doc.account is not None and other.account == doc.account)
    return same and other.name != doc.name


def _sharing_line(doc: ConnectionDoc, other: ConnectionDoc) -> DetailLine:
    key = "the same key" if other.key == doc.key else "another key of the account"
    differs = other.revision != doc.revision
    revision = f", revision {other.revision}: the smaller limits count" if differs else ""
    return "shares with", f"{other.name}: {key}, one budget{revision}"


def _budget_text(doc: ConnectionDoc, status: Status) -> str:
    account = doc.account or f"key:{doc.key}"
    used = [row for row in status.budgets if row.account == account]
    if not used:
        return "nothing was called within the last minute"
    fullest = sorted(used, key=lambda row: -row.used / row.limit)[:MAX_BUDGETS_SHOWN]
    calls = ", ".join(f"{row.call} {row.used:,}/{row.limit:,}" for row in fullest)
    return f"{calls} in the last minute"
