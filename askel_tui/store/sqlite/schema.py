"""The tables of the embedded journal, and the steps from older schemas to this one.

Rows are found by the order they came in (`seq`, `id`), never by time: the clock may step back.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from askel_tui.store.journal.errors import JournalError
from askel_tui.store.journal.states import (
    DECISION_KIND,
    HELD,
    MAY_BE_WRITTEN,
    RARE_STATUS,
    REPLAN,
    SEQ_GAP,
    UNCOMMON_STATUS,
    WAITING,
)
from askel_tui.store.journal.tables.audit.chain import join_first_chain
from askel_tui.store.journal.tables.lines import link_known
from askel_tui.store.sqlite.backup import back_up
from askel_tui.store.sqlite.connection import (
    JournalConnection,
    begin_write,
    explain_error,
    retry_while_locked,
)

log = logging.getLogger(__name__)

SCHEMA_VERSION = 7
APPLICATION_ID = 0x41534B4C

TABLES = f"""
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, connection TEXT NOT NULL, id TEXT NOT NULL, event TEXT NOT NULL,
  received INTEGER NOT NULL, actor TEXT, body BLOB NOT NULL);
CREATE UNIQUE INDEX records_id ON records (connection, id);
CREATE INDEX records_connection ON records (connection, seq);
CREATE INDEX records_event ON records (connection, event, seq);

CREATE TABLE workflows (
  workflow TEXT PRIMARY KEY, connection TEXT NOT NULL, status TEXT NOT NULL, version INTEGER NOT NULL,
  position INTEGER, since TEXT) WITHOUT ROWID;

CREATE TABLE runs (
  workflow TEXT NOT NULL, record_seq INTEGER NOT NULL, state INTEGER NOT NULL,
  PRIMARY KEY (workflow, record_seq)) WITHOUT ROWID;
CREATE INDEX runs_replan ON runs (workflow, record_seq) WHERE state = {REPLAN};

CREATE TABLE operations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, connection TEXT NOT NULL, workflow TEXT NOT NULL, version INTEGER NOT NULL,
  record_seq INTEGER NOT NULL, record TEXT NOT NULL, idx INTEGER NOT NULL, step TEXT NOT NULL, gate INTEGER NOT NULL,
  actor TEXT, state INTEGER NOT NULL, hold TEXT, attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL DEFAULT 0, reason TEXT, request INTEGER, failure INTEGER, body BLOB NOT NULL);
CREATE UNIQUE INDEX operations_run ON operations (record_seq, workflow, idx);
CREATE INDEX operations_waiting ON operations (workflow, connection, seq) WHERE state = {WAITING} AND request IS NULL;
CREATE INDEX operations_held ON operations (workflow, hold, seq) WHERE state = {HELD};
CREATE INDEX operations_failure ON operations (failure, seq) WHERE failure IS NOT NULL;
CREATE INDEX operations_request ON operations (request, seq) WHERE request IS NOT NULL;

CREATE TABLE places (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, call TEXT NOT NULL, taken INTEGER NOT NULL,
  answered INTEGER, ends INTEGER NOT NULL);
CREATE INDEX places_ends ON places (account, call, ends);

CREATE TABLE requests (
  id INTEGER PRIMARY KEY, connection TEXT NOT NULL, account TEXT NOT NULL, call TEXT NOT NULL, method TEXT NOT NULL,
  path TEXT NOT NULL, revision TEXT NOT NULL, key TEXT NOT NULL, opened INTEGER NOT NULL, answered INTEGER,
  digest BLOB NOT NULL, operations TEXT NOT NULL, body BLOB);
CREATE INDEX requests_open ON requests (id) WHERE answered IS NULL;

CREATE TABLE profiles (
  connection TEXT NOT NULL, key TEXT NOT NULL, profile TEXT NOT NULL, PRIMARY KEY (connection, key)) WITHOUT ROWID;
CREATE INDEX profiles_profile ON profiles (connection, profile);

CREATE TABLE holds (
  id INTEGER PRIMARY KEY, connection TEXT NOT NULL, workflow TEXT NOT NULL, step TEXT NOT NULL, cause TEXT NOT NULL,
  detail TEXT NOT NULL, since INTEGER NOT NULL, waiting INTEGER NOT NULL DEFAULT 0, UNIQUE (workflow, step));

CREATE TABLE failures (
  id INTEGER PRIMARY KEY AUTOINCREMENT, connection TEXT NOT NULL, workflow TEXT NOT NULL, version INTEGER NOT NULL,
  record_seq INTEGER NOT NULL, record TEXT NOT NULL, step TEXT, reason TEXT NOT NULL, at INTEGER NOT NULL,
  problems TEXT, operation INTEGER);
CREATE INDEX failures_workflow ON failures (workflow, id);

CREATE TABLE counters (
  workflow TEXT NOT NULL, connection TEXT NOT NULL, waiting INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (workflow, connection)) WITHOUT ROWID;

CREATE TABLE commands (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, arguments TEXT NOT NULL, actor TEXT NOT NULL,
  at INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'open', result TEXT);
CREATE INDEX commands_open ON commands (id) WHERE state = 'open';

CREATE TABLE notices (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, connection TEXT, workflow TEXT, step TEXT, kind TEXT NOT NULL,
  text TEXT NOT NULL);

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, connection TEXT, workflow TEXT, step TEXT,
  record TEXT, operation BLOB, kind TEXT NOT NULL, status TEXT NOT NULL, request INTEGER, attempts INTEGER NOT NULL,
  ms INTEGER, revision TEXT, key TEXT, hash BLOB NOT NULL, profile TEXT, target TEXT, response TEXT);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_connection ON audit (connection, seq);
CREATE INDEX audit_workflow ON audit (workflow, seq);
CREATE INDEX audit_workflow_step ON audit (workflow, step, seq);
CREATE INDEX audit_step ON audit (step, seq) WHERE step IS NOT NULL;
CREATE INDEX audit_record ON audit (record, seq) WHERE record IS NOT NULL;
CREATE INDEX audit_status ON audit (status, seq) WHERE {UNCOMMON_STATUS};
CREATE INDEX audit_rare ON audit (workflow, status, seq) WHERE {RARE_STATUS};
CREATE INDEX audit_decision ON audit (kind, seq) WHERE {DECISION_KIND};
CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL);
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
"""

MIGRATIONS: Mapping[int, str] = {
    1: """
ALTER TABLE notices ADD COLUMN cause TEXT;
ALTER TABLE notices ADD COLUMN detail TEXT;
ALTER TABLE notices ADD COLUMN quiet INTEGER NOT NULL DEFAULT 0;
CREATE INDEX notices_cause ON notices (connection, cause, detail, seq);
CREATE TABLE deliveries (
  address TEXT PRIMARY KEY, seq INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL) WITHOUT ROWID
""",
    2: "ALTER TABLE requests ADD COLUMN job TEXT",
    3: f"""
DROP INDEX audit_rare;
DROP INDEX audit_decision;
CREATE INDEX audit_rare ON audit (workflow, status, seq) WHERE {RARE_STATUS};
CREATE INDEX audit_decision ON audit (kind, seq) WHERE {DECISION_KIND}
""",
    4: """
ALTER TABLE places RENAME TO slots;
DROP INDEX places_ends;
CREATE INDEX slots_ends ON slots (account, call, ends)
""",
    # The ids were remembered for addresses folded too far: one may be another person's. They are learned again.
    5: f"""
DELETE FROM profiles;
DROP INDEX operations_held;
CREATE INDEX operations_held ON operations (workflow, hold, version, seq) WHERE state = {HELD};
ALTER TABLE holds RENAME TO holds_of_steps;
CREATE TABLE holds (
  id INTEGER PRIMARY KEY, connection TEXT NOT NULL, workflow TEXT NOT NULL, version INTEGER NOT NULL,
  step TEXT NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL, since INTEGER NOT NULL,
  waiting INTEGER NOT NULL DEFAULT 0, entry INTEGER NOT NULL, until INTEGER, stays INTEGER NOT NULL DEFAULT 0,
  repeats INTEGER NOT NULL DEFAULT 0, incident TEXT NOT NULL DEFAULT '', UNIQUE (workflow, version, step));
ALTER TABLE notices ADD COLUMN incident TEXT;
ALTER TABLE notices ADD COLUMN connections TEXT;
ALTER TABLE notices ADD COLUMN operations INTEGER NOT NULL DEFAULT 0;
UPDATE notices SET incident = cause || '|' || connection || '|' || detail WHERE cause IS NOT NULL;
DROP INDEX notices_cause;
CREATE INDEX notices_incident ON notices (incident, seq);
CREATE TABLE unanswered_calls (
  account TEXT NOT NULL, call TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (account, call)) WITHOUT ROWID;
CREATE TABLE hold_history (
  workflow TEXT NOT NULL, step TEXT NOT NULL, released INTEGER, returned INTEGER, ended INTEGER,
  repeats INTEGER NOT NULL, PRIMARY KEY (workflow, step)) WITHOUT ROWID;
INSERT INTO holds (connection, workflow, version, step, cause, detail, since, incident, waiting, entry)
  SELECT h.connection, h.workflow, v.version, h.step, h.cause, h.detail, h.since,
    h.cause || '|' || h.connection || '|' || h.detail,
    (SELECT count(*) FROM operations o WHERE o.workflow = h.workflow AND o.version = v.version AND o.hold = h.step
      AND o.state = {HELD}),
    coalesce((SELECT min(a.seq) - 1 FROM audit a WHERE a.{DECISION_KIND} AND a.kind = 'hold'
      AND a.workflow = h.workflow AND a.step = h.step AND a.seq > (SELECT coalesce(max(r.seq), 0) FROM audit r
        WHERE r.{DECISION_KIND} AND r.kind = 'release' AND r.workflow = h.workflow AND r.step = h.step)), 0)
  FROM holds_of_steps h JOIN (
    SELECT workflow, version, NULL AS step FROM workflows
    UNION SELECT DISTINCT workflow, version, hold FROM operations WHERE state = {HELD}) v
  ON v.workflow = h.workflow AND coalesce(v.step, h.step) = h.step
  GROUP BY h.id, v.version ORDER BY h.id, v.version;
DROP TABLE holds_of_steps;
ALTER TABLE counters ADD COLUMN differing INTEGER NOT NULL DEFAULT 0;
CREATE TABLE lines (number INTEGER PRIMARY KEY, toward INTEGER NOT NULL, partners BLOB);
CREATE TABLE recent_lines (number INTEGER PRIMARY KEY, toward INTEGER NOT NULL, partners BLOB);
CREATE TABLE refusals (connection TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE workflows ADD COLUMN replan TEXT;
ALTER TABLE workflows ADD COLUMN first INTEGER;
ALTER TABLE counters ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
CREATE TABLE discarded_failures (
  id INTEGER PRIMARY KEY, connection TEXT NOT NULL, workflow TEXT NOT NULL, version INTEGER NOT NULL,
  record_seq INTEGER NOT NULL, record TEXT NOT NULL, step TEXT, reason TEXT NOT NULL, at INTEGER NOT NULL,
  problems TEXT, operation INTEGER, entry INTEGER, discarded INTEGER NOT NULL);
CREATE INDEX discarded_failures_workflow ON discarded_failures (workflow, id);
CREATE INDEX discarded_failures_record ON discarded_failures (record_seq);
CREATE TABLE discarded_operations (
  failure INTEGER NOT NULL, seq INTEGER NOT NULL, connection TEXT NOT NULL, workflow TEXT NOT NULL,
  version INTEGER NOT NULL, record_seq INTEGER NOT NULL, record TEXT NOT NULL, idx INTEGER NOT NULL, step TEXT NOT NULL,
  gate INTEGER NOT NULL, actor TEXT, mark INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX discarded_operations_failure ON discarded_operations (failure, seq);
ALTER TABLE operations ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
UPDATE operations SET mark = {MAY_BE_WRITTEN} WHERE attempts > 0
  OR (state = {HELD} AND reason IS NOT NULL AND hold IN (SELECT step FROM holds WHERE cause IN ('in_doubt', 'outage')));
UPDATE operations SET seq = -seq * {SEQ_GAP};
UPDATE operations SET seq = -seq;
UPDATE sqlite_sequence SET seq = seq * {SEQ_GAP} WHERE name = 'operations';
UPDATE failures SET operation = operation * {SEQ_GAP};
UPDATE requests SET operations = (SELECT json_group_array(value * {SEQ_GAP}) FROM json_each(operations))
  WHERE answered IS NULL;
CREATE TABLE audit_chains (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, number INTEGER NOT NULL, hash BLOB NOT NULL,
  last INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE audit_accounts (connection TEXT PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO audit_accounts SELECT connection, max(account) FROM requests WHERE account NOT LIKE 'key:%'
  GROUP BY connection;
CREATE TABLE acceptances (
  id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, number INTEGER NOT NULL, before INTEGER NOT NULL,
  at INTEGER NOT NULL, ranges TEXT NOT NULL, parts BLOB NOT NULL, hash BLOB NOT NULL);
CREATE INDEX acceptances_at ON acceptances (at);
ALTER TABLE audit ADD COLUMN chain INTEGER;
ALTER TABLE audit ADD COLUMN number INTEGER;
ALTER TABLE audit ADD COLUMN before INTEGER;
ALTER TABLE audit ADD COLUMN salt BLOB;
ALTER TABLE audit ADD COLUMN erased BLOB;
ALTER TABLE audit ADD COLUMN claimed TEXT;
ALTER TABLE requests ADD COLUMN parts TEXT;
ALTER TABLE requests ADD COLUMN salts BLOB;
ALTER TABLE requests ADD COLUMN erased TEXT;
ALTER TABLE records ADD COLUMN salt BLOB;
ALTER TABLE deliveries ADD COLUMN reason TEXT;
CREATE TABLE warnings (
  workflow TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (workflow, kind)) WITHOUT ROWID;
CREATE TABLE phones (
  connection TEXT NOT NULL, phone TEXT NOT NULL, email TEXT, external_id TEXT,
  PRIMARY KEY (connection, phone)) WITHOUT ROWID;
CREATE INDEX phones_email ON phones (connection, email) WHERE email IS NOT NULL
""",
    6: """
ALTER TABLE workflows ADD COLUMN history TEXT;
ALTER TABLE holds ADD COLUMN others TEXT NOT NULL DEFAULT '[]';
CREATE TABLE backfills (
  id INTEGER PRIMARY KEY AUTOINCREMENT, connection TEXT NOT NULL, workflow TEXT NOT NULL, source TEXT NOT NULL,
  digest TEXT NOT NULL, state TEXT NOT NULL, history TEXT, actor TEXT NOT NULL, began INTEGER NOT NULL,
  ended INTEGER, records INTEGER NOT NULL DEFAULT 0, position INTEGER NOT NULL DEFAULT 0);
CREATE TABLE backfill_records (
  backfill INTEGER NOT NULL, seq INTEGER NOT NULL, own INTEGER NOT NULL, PRIMARY KEY (backfill, seq)) WITHOUT ROWID;
CREATE INDEX backfill_records_seq ON backfill_records (seq);
ALTER TABLE slots ADD COLUMN steady INTEGER;
ALTER TABLE workflows ADD COLUMN passed INTEGER;
ALTER TABLE workflows ADD COLUMN passed_by INTEGER;
CREATE TABLE passed_writes (
  line INTEGER NOT NULL, record_seq INTEGER NOT NULL, PRIMARY KEY (line, record_seq)) WITHOUT ROWID;
UPDATE workflows SET passed = (SELECT coalesce(max(seq), 0) FROM audit
  WHERE operation IS NULL AND kind = 'pause' AND workflow = workflows.workflow) WHERE status = 'paused'
""",
}
"""The statements that bring a file of a version to the next one, by version. `TABLES` makes version 1."""

CHAINS_STEP = 5
"""The step after which the audit has a chain for each account; links among identifiers are known from it on."""

_NO_BACKUP = """
INSERT INTO notices (at, connection, workflow, step, kind, text, quiet) VALUES (?, '', '', '', 'warning', ?, 1)
"""


def prepare_schema(connection: JournalConnection, path: Path) -> None:
    """Makes the tables in a new file, or copies an older one and brings it up to date. Raises `JournalError`."""
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        raise explain_error(error, path) from error


def _prepare(connection: JournalConnection, path: Path) -> None:
    if retry_while_locked(lambda: _version(connection, path)) == SCHEMA_VERSION:
        return
    retry_while_locked(lambda: connection.execute("PRAGMA page_size = 8192"))
    (mode,) = retry_while_locked(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    if mode != "wal":
        raise JournalError(
            f"The journal {path} can't be shared between processes here: put it on a local disk."
        )
    begin_write(connection)
    now = time.time_ns() // 1_000_000
    try:
        # Another process may have done all of it meanwhile.
        version = _version(connection, path)
        if version == 0:
            _run(connection, TABLES)
        problem = back_up(path, version) if 0 < version < SCHEMA_VERSION else None
        for step in range(max(version, 1), SCHEMA_VERSION):
            _run(connection, MIGRATIONS[step])
            if step == CHAINS_STEP:
                join_first_chain(connection, now)
        if version <= CHAINS_STEP:
            link_known(connection)
        if problem is not None:
            connection.execute(_NO_BACKUP, (now, problem))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    if problem is not None:
        log.warning(problem)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").fetchone()
    if tables and owner != APPLICATION_ID:
        raise JournalError(
            f"{path} is no journal of Askel: move it away or set ASKEL_HOME to another directory."
        )
    if version > SCHEMA_VERSION:
        raise JournalError(f"The journal {path} was written by a newer Askel: update this one.")
    return int(version)


def _run(connection: sqlite3.Connection, statements: str) -> None:
    # executescript would commit first.
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)
