"""Checking the audit: every entry of every chain, the bodies of requests, and the records that were accepted.

The work is done in parts, so that no read keeps the write-ahead log from being emptied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from askel_tui.core.canonical import canonical_json
from askel_tui.store.journal.tables.audit.acceptances import DIGEST_BYTES, acceptance_hash, seqs_in
from askel_tui.store.journal.tables.audit.anchors import Anchor, chain_anchors
from askel_tui.store.journal.tables.audit.chain import JOIN_KIND
from askel_tui.store.journal.tables.audit.chains import FIRST_CHAIN_ID, ChainEnd, all_chains
from askel_tui.store.journal.tables.audit.commitments import (
    SALT_BYTES,
    ascii_json,
    body_digest,
    chain_hash,
    commitment,
    entry_frame,
    entry_hash,
    record_head,
)
from askel_tui.store.journal.tables.audit.encoding import pack_operation_id
from askel_tui.store.journal.tables.audit.queries import COLUMNS, entry_fields, entry_payload
from askel_tui.store.journal.transaction import Transaction

CHECK_BATCH_ROWS = 5_000

ACCEPTANCES_PER_BATCH = 200

MAX_ERASED_SHOWN = 100
"""The number of entries that a result names because something of them was erased; all are counted."""

CHANGED = "it was changed, or the one before it was written anew"


class AuditBreak(NamedTuple):
    """What is wrong with the audit, and where: an entry by its chain and its number."""

    chain: str
    seq: int
    why: str


class AuditCheck(NamedTuple):
    """The result of checking the audit: how many entries and acceptances, what is wrong, and how many payloads, parts
    and records were erased."""

    entries: int
    broken: AuditBreak | None = None
    acceptances: int = 0
    erased: int = 0
    erased_at: tuple[tuple[str, int], ...] = ()
    """The first entries of which something was erased: chain and `seq`."""


@dataclass(slots=True)
class _End:
    """The last entry of a chain that was checked, and the row that it has."""

    number: int = 0
    hash: bytes = bytes(32)
    row: int = 0
    anchor: int = 0
    """The last entry that was pruned: it may not be deleted yet."""


class AuditChecker:
    """A check of the audit that goes on from read to read."""

    def __init__(self) -> None:
        self.entries = self.acceptances = self.erased = 0
        self.broken: AuditBreak | None = None
        self._anchors: dict[str, Anchor] = {}
        self._chains: dict[int, ChainEnd] = {}
        self._ends: dict[int, _End] = {}
        self._joined: dict[str, tuple[AuditBreak, Any, Any]] = {}
        self._row: int | None = None
        self._acceptance = 0
        self._request: int | None = None
        self._gap: AuditBreak | None = None
        self._erased_at: dict[tuple[str, int], None] = {}

    @property
    def result(self) -> AuditCheck:
        """What was found so far."""
        return AuditCheck(self.entries, self.broken, self.acceptances, self.erased, tuple(self._erased_at))

    def check_entries(self, db: Transaction) -> bool:
        """Checks the next entries. Returns True once there are no more, or one is wrong."""
        self._load(db)
        rows = db.execute(
            f"SELECT {COLUMNS} FROM audit a LEFT JOIN requests r ON r.id = a.request "
            "WHERE a.seq > ? ORDER BY a.seq LIMIT ?",
            (self._row or 0, CHECK_BATCH_ROWS),
        ).fetchall()
        for row in rows:
            self.broken = self._check_entry(db, row)
            if self.broken is not None:
                return True
        if len(rows) < CHECK_BATCH_ROWS:
            (head,) = db.execute("SELECT seq FROM audit_head").fetchone()
            self._check_ends(lambda chain: not chain.name.endswith("/acceptances"))
            if self.broken is None and self._row is not None and head != self._row:
                self._gap = self._gap or AuditBreak("", head, "the last row of the audit is missing")
            self.broken = self.broken or self._check_joins() or self._gap
        return len(rows) < CHECK_BATCH_ROWS

    def check_acceptances(self, db: Transaction) -> bool:
        """Checks the next acceptances. Returns True once there are no more, or one is wrong."""
        self._load(db)
        rows = db.execute(
            "SELECT id, chain, number, before, at, ranges, parts, hash FROM acceptances "
            "WHERE id > ? ORDER BY id LIMIT ?",
            (self._acceptance, ACCEPTANCES_PER_BATCH),
        ).fetchall()
        for row in rows:
            self.broken = self._check_acceptance(db, row)
            if self.broken is not None:
                return True
        if len(rows) < ACCEPTANCES_PER_BATCH:
            self._check_ends(lambda chain: chain.name.endswith("/acceptances"))
        return len(rows) < ACCEPTANCES_PER_BATCH

    def _load(self, db: Transaction) -> None:
        """Reads the chains; new ones may have begun since the last read."""
        if not self._chains:
            self._anchors = chain_anchors(db)
        self._chains = {chain.id: chain for chain in all_chains(db)}
        for ident, chain in self._chains.items():
            if ident not in self._ends:
                anchor = self._anchors.get(chain.name)
                self._ends[ident] = _End() if anchor is None else _End(*anchor, anchor=anchor.number)

    def _check_entry(self, db: Transaction, row: tuple[Any, ...]) -> AuditBreak | None:
        position, ident, number, before = row[0], *row[22:25]
        if ident is None:
            ident, number, before = FIRST_CHAIN_ID, position, position - 1
        end = self._ends.get(ident)
        if end is None:
            return AuditBreak(str(ident), number or 0, "it names no chain of the audit")
        chain = self._chains[ident].name
        if isinstance(number, int) and number <= end.anchor:
            self._row = position
            return None
        if self._row is not None and position != self._row + 1 and self._gap is None:
            self._gap = AuditBreak(chain, number, "a row before it is missing")
        wrong = _wrong_number(chain, number, end)
        if wrong is not None:
            return wrong
        erased = self.erased
        if before != end.row or not self._hash_fits(row, chain, end):
            return AuditBreak(chain, number, CHANGED)
        request = row[18]
        if request is not None and request != self._request:
            self._request = request
            if not self._body_fits(db, request, row[21]):
                return AuditBreak(chain, number, "the body of its request was changed")
        self._note_erased(erased, chain, number)
        if row[8] == JOIN_KIND and row[22] is not None:
            target = json.loads(row[10])
            self._joined[target["name"]] = AuditBreak(chain, number, ""), target["seq"], target["hash"]
        end.number, end.hash, end.row, self._row = number, row[17], position, position
        self.entries += 1
        return None

    def _note_erased(self, before: int, chain: str, number: int) -> None:
        if self.erased > before and len(self._erased_at) < MAX_ERASED_SHOWN:
            self._erased_at[chain, number] = None

    def _hash_fits(self, row: tuple[Any, ...], chain: str, end: _End) -> bool:
        try:
            fields = entry_fields(row)
            if row[22] is None:
                return row[23:28] == (None,) * 5 and bool(chain_hash(end.hash, fields) == row[17])
            payload, operation = entry_payload(row), fields["operation"]
            if payload is None or not self._is_as_written(row, fields):
                return False
            frame = entry_frame(
                chain, row[1], row[2], row[8], row[11], row[3], row[4], row[5], fields["target"],
                fields["request"], row[13], row[14], row[15], row[16], row[27],
            )  # fmt: skip
            return bool(entry_hash(frame, row[23], end.hash, payload, operation, row[6]) == row[17])
        except (ValueError, AttributeError, TypeError, KeyError):
            # A value that this program never wrote: it can't fit.
            return False

    def _is_as_written(self, row: tuple[Any, ...], fields: dict[str, Any]) -> bool:
        """Checks what the hash leaves open: that no value is written in another way that means the same."""
        salt, erased, profile, response, operation = row[25], row[26], row[9], row[12], fields["operation"]
        if salt is None:
            self.erased += 1
            if len(erased) != DIGEST_BYTES or (profile, response) != (None, None):
                return False
        elif len(salt) != SALT_BYTES or erased is not None:
            return False
        numbers = (row[1], row[13], row[14], row[18], row[23])
        if "null" in (profile, row[10], response):
            return False
        if not all(number is None or isinstance(number, int) for number in numbers):
            return False
        target = None if row[10] is None else canonical_json(fields["target"]).decode()
        packed = None if operation is None else pack_operation_id(operation)
        return target == row[10] and packed == row[7] and type(packed) is type(row[7])

    def _body_fits(self, db: Transaction, request: int, digest: bytes) -> bool:
        body, parts, salts, erased = db.execute(
            "SELECT body, parts, salts, erased FROM requests WHERE id = ?", (request,)
        ).fetchone()
        if body is None:
            return (parts, salts, erased) == (None, None, None)
        try:
            if salts is None:
                return parts is None and erased is None and hashlib.sha256(body).digest() == digest
            lengths = json.loads(parts)
            gone = {} if erased is None else json.loads(erased)
            written = ascii_json(lengths), ascii_json(gone) if gone else None
            self.erased += len(gone)
            by_index = {int(index): bytes.fromhex(part) for index, part in gone.items()}
            return written == (parts, erased) and body_digest(body, lengths, salts, by_index) == digest
        except (ValueError, TypeError, AttributeError):
            return False

    def _check_acceptance(self, db: Transaction, row: tuple[Any, ...]) -> AuditBreak | None:
        ident, chain_id, number, before, at, ranges, parts, digest = row
        end = self._ends.get(chain_id)
        if end is None:
            return AuditBreak(str(chain_id), number, "it names no chain of the audit")
        chain, self._acceptance = self._chains[chain_id].name, ident
        if number <= end.anchor:
            return None
        wrong = _wrong_number(chain, number, end)
        if wrong is not None:
            return wrong
        try:
            fits = (
                before == end.row
                and ascii_json(json.loads(ranges)) == ranges
                and acceptance_hash(chain, number, end.hash, at, json.loads(ranges), parts) == digest
            )
        except (ValueError, TypeError):
            fits = False
        if not fits:
            return AuditBreak(chain, number, CHANGED)
        erased = self.erased
        changed = self._changed_record(db, ranges, parts)
        if changed is not None:
            return AuditBreak(chain, number, f"record {changed}, which it accepted, was changed")
        self._note_erased(erased, chain, number)
        end.number, end.hash, end.row = number, digest, ident
        self.acceptances += 1
        return None

    def _changed_record(self, db: Transaction, ranges: str, parts: bytes) -> str | None:
        """Finds a record that is not as it was accepted. Records that were pruned are passed over."""
        seqs = list(seqs_in(ranges))
        at = {seq: DIGEST_BYTES * index for index, seq in enumerate(seqs)}
        rows = db.execute(
            "SELECT seq, connection, id, event, received, actor, body, salt FROM records WHERE seq BETWEEN ? AND ?",
            (seqs[0], seqs[-1]),
        )
        for seq, connection, ident, event, received, actor, body, salt in rows:
            if seq not in at:
                continue
            if (salt, body) == (None, b""):
                self.erased += 1
                continue
            try:
                written = json.loads(body)
                same = (ident, event) == (written["id"], written["event"])
                part = commitment(salt, record_head(connection, received, actor) + body)
            except (ValueError, TypeError, KeyError, AttributeError):
                return str(ident)
            if not same or len(salt) != SALT_BYTES or parts[at[seq] : at[seq] + DIGEST_BYTES] != part:
                return str(ident)
        return None

    def _check_ends(self, wanted: Callable[[ChainEnd], bool]) -> None:
        for ident, chain in self._chains.items():
            end = self._ends[ident]
            if wanted(chain) and (end.number, end.hash, end.row) != (chain.number, chain.hash, chain.row):
                # Where entries were cut off at the end, no entry has the number and the hash of the chain's end.
                seq = min(end.number, chain.number) + 1
                self.broken = self.broken or AuditBreak(
                    chain.name, seq, "the end of the chain is another one"
                )

    def _check_joins(self) -> AuditBreak | None:
        """Checks that each closed chain ends where a joint entry says."""
        by_name = {chain.name: chain for chain in self._chains.values()}
        for name, (entry, seq, digest) in self._joined.items():
            chain = by_name.get(name)
            if chain is None or (chain.number, chain.hash.hex(), chain.closed) != (seq, digest, True):
                return entry._replace(why=f"the chain {name}, which it closes, does not end where it says")
        for name, chain in by_name.items():
            pruned = self._anchors[name].number if name in self._anchors else 0
            if chain.closed and name not in self._joined and chain.number > pruned:
                return AuditBreak(name, chain.number, "no entry closes this chain, which goes on no more")
        return None


def _wrong_number(chain: str, number: Any, end: _End) -> AuditBreak | None:
    if number == end.number + 1:
        return None
    if isinstance(number, int) and number > end.number:
        return AuditBreak(chain, end.number + 1, "it is missing")
    return AuditBreak(chain, end.number + 1, f"another entry stands in its place, with the number {number}")
