"""Reads the audit for the live tail: rows by their order, and which entries match a filter.

Functions of a connection that belongs to the caller's thread. Reads are short, so that none keeps the write-ahead log
from being emptied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from askel_tui.core.operations import STEP_KINDS
from askel_tui.core.requests.differences import describe_differences
from askel_tui.store.journal.rows import AuditEntry, AuditFilter, Outcome
from askel_tui.store.journal.states import DECISION_KIND
from askel_tui.store.journal.tables.audit.queries import filter_conditions, read_entries
from askel_tui.store.journal.transaction import Transaction

SEARCHED_COLUMNS = ("record", "profile", "target", "response", "actor", "claimed")
"""Columns of any text, searched for words."""

INDEXED_COLUMNS = ("connection", "workflow", "step")
"""Columns of few different values, each with an index."""

ENTRY_STATUSES: tuple[str, ...] = (*get_args(Outcome), "done")
"""The statuses of entries."""

MAX_RESPONSE_CHARS = 300
"""The number of characters of a response's detail that a row shows."""


class TailRow(NamedTuple):
    """An entry as a row of the tail. `at` is in milliseconds since 1970.

    Few rows of a page are painted, so JSON is parsed only when it is asked for.
    """

    seq: int
    at: int
    actor: str
    connection: str | None
    workflow: str | None
    step: str | None
    record: str | None
    kind: str
    status: str
    profile_json: str | None
    target_json: str | None
    ms: int | None
    response_json: str | None

    @property
    def identifier(self) -> str:
        """The first of the profile's identifiers."""
        return str(next(iter(_parsed(self.profile_json).values()), ""))

    @property
    def target(self) -> str:
        """The name of the target that was written to."""
        return str(_parsed(self.target_json).get("name") or "")

    @property
    def differs(self) -> bool:
        """True if Klaviyo's answer differs from what was sent."""
        return bool(self.response_json) and "differences" in _parsed(self.response_json)

    @property
    def detail(self) -> str:
        """The detail of the response: the reason of a result that is not plain success."""
        response = _parsed(self.response_json)
        if "differences" in response:
            return describe_differences(response["differences"])[:MAX_RESPONSE_CHARS]
        detail = response.get("detail")
        if isinstance(detail, dict):
            words = [str(value) for value in detail.values() if value not in (None, "", 0)]
            return " · ".join(words)[:MAX_RESPONSE_CHARS]
        return "" if detail is None else str(detail)[:MAX_RESPONSE_CHARS]


_COLUMNS = (
    "seq, at, actor, connection, workflow, step, record, kind, status, profile, target, ms, "
    f"CASE WHEN status NOT IN ('written', 'unconfirmed') THEN substr(response, 1, {MAX_RESPONSE_CHARS * 2}) "
    """WHEN instr(response, '"differences":[') THEN """
    "json_object('differences', json_extract(response, '$.differences')) END"
)


def bounds(db: Transaction) -> tuple[int, int, int]:
    """Returns the first and the last `seq`, and the number of entries; zeros where there is none. Counting is slow."""
    first, last, count = db.execute(
        "SELECT (SELECT min(seq) FROM audit), (SELECT max(seq) FROM audit), (SELECT count(*) FROM audit)"
    ).fetchone()
    return first or 0, last or 0, count


def first_and_last(db: Transaction) -> tuple[int, int]:
    """Returns the first and the last `seq`; zeros where there is no entry."""
    first, last = db.execute("SELECT (SELECT min(seq) FROM audit), (SELECT max(seq) FROM audit)").fetchone()
    return first or 0, last or 0


def all_seqs(db: Transaction) -> list[int]:
    """Lists every `seq`, in order: for a journal with gaps."""
    return sorted(seq for (seq,) in db.execute("SELECT seq FROM audit INDEXED BY audit_at"))


def read_rows(db: Transaction, seqs: Sequence[int]) -> list[TailRow]:
    """Reads the rows of entries, in order of `seq`."""
    if not seqs:
        return []
    if isinstance(seqs, range) and seqs.step == 1:
        found = db.execute(
            f"SELECT {_COLUMNS} FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq", (seqs[0], seqs[-1])
        )
    else:
        marks = ", ".join("?" * len(seqs))
        found = db.execute(f"SELECT {_COLUMNS} FROM audit WHERE seq IN ({marks}) ORDER BY seq", tuple(seqs))
    return [TailRow(*each) for each in found]


def read_entry(db: Transaction, seq: int) -> AuditEntry | None:
    """Reads the whole entry of a `seq`; None where there is none."""
    found, _ = read_entries(db, AuditFilter(), seq - 1, 1, False)
    return found[0] if found and found[0].position == seq else None


def record_history(db: Transaction, record: str, limit: int = 200) -> list[TailRow]:
    """Reads all entries about a record, oldest first."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM audit INDEXED BY audit_record WHERE record = ? ORDER BY seq LIMIT ?",
        (record, limit),
    )
    return [TailRow(*each) for each in found]


class TailQuery(NamedTuple):
    """A search: fields that an index finds, words that an entry must have, and words that it must not have."""

    wanted: AuditFilter = AuditFilter()
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def by_index(self) -> bool:
        """True if an index finds the entries; else all are searched."""
        return not self.words and not self.without


class PreparedQuery(NamedTuple):
    """A search prepared for a journal: the index to walk, the conditions and their parameters."""

    walk: str
    conditions: tuple[str, ...]
    parameters: dict[str, Any]


def prepare_query(db: Transaction, search: TailQuery) -> PreparedQuery:
    """Prepares a search: words are looked up among the values of columns that have few."""
    index, conditions, parameters = filter_conditions(search.wanted)
    values = {} if search.by_index else _values(db)
    for number, word in enumerate((*search.words, *search.without)):
        name = f"word{number}"
        clauses = [f"a.{column} LIKE :{name} ESCAPE '\\'" for column in SEARCHED_COLUMNS]
        parameters[name] = f"%{_escaped(word)}%"
        for column, known in values.items():
            fitting = [value for value in known if word.casefold() in value.casefold()]
            if len(fitting) > 50:
                clauses.append(f"a.{column} LIKE :{name} ESCAPE '\\'")
                continue
            for nth, value in enumerate(fitting):
                parameters[f"{name}{column}{nth}"] = value
                clauses.append(f"a.{column} = :{name}{column}{nth}")
        # A column without a value is NULL, and NOT NULL would be neither true nor false.
        any_of = " OR ".join(clauses)
        conditions.append(f"({any_of})" if number < len(search.words) else f"NOT ifnull(({any_of}), 0)")
    return PreparedQuery(index, tuple(conditions), parameters)


def matching_seqs(db: Transaction, query: PreparedQuery, low: int, high: int, limit: int) -> list[int]:
    """Finds the newest `limit` entries from `low` to `high` that match, newest first."""
    where = " AND ".join(("a.seq BETWEEN :low AND :high", *query.conditions))
    # One row, not thousands: for each row that SQLite steps to, Python would release its lock and wait to get it back.
    (found,) = db.execute(
        f"SELECT json_group_array(seq) FROM (SELECT a.seq AS seq FROM audit a {query.walk} WHERE {where} "
        "ORDER BY a.seq DESC LIMIT :limit)",
        {**query.parameters, "low": low, "high": high, "limit": limit},
    ).fetchone()
    return sorted(json.loads(found), reverse=True)


def _values(db: Transaction) -> dict[str, list[str]]:
    """Reads the values of the columns that have few different ones."""
    decided = _distinct(db, "kind", f"AND {DECISION_KIND}")
    found = {name: _distinct(db, name) for name in INDEXED_COLUMNS}
    return {**found, "kind": [*STEP_KINDS, *decided], "status": list(ENTRY_STATUSES)}


def _distinct(db: Transaction, column: str, also: str = "") -> list[str]:
    """Finds the different values of an indexed column by hopping along its index; at most a few hundred."""
    found: list[str] = []
    value: str | None = None
    while len(found) < 300:
        (value,) = db.execute(
            f"SELECT min({column}) FROM audit WHERE {column} > ? {also}", (value or "",)
        ).fetchone()
        if value is None:
            break
        found.append(value)
    return found


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _parsed(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        # The text was cut in the middle, since it was longer than a row can show.
        return {}
    return found if isinstance(found, dict) else {}
