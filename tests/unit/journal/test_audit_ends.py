"""The ends of the audit's chains: read and written once a commit, whatever its writes do, and however some fail."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from askel_tui.store.journal.rows import Decision
from askel_tui.store.journal.tables.audit.chain import save_account, write_decision
from askel_tui.store.journal.tables.audit.checking import AuditChecker
from askel_tui.store.journal.transaction import Transaction
from askel_tui.store.sqlite.connection import JournalConnection, connect
from askel_tui.store.sqlite.schema import prepare_schema
from askel_tui.store.sqlite.writing.group_commit import GroupCommitter, WriteJob, call_with_connection
from tests.unit.journal.samples import NOW

CONNECTIONS = ("shop", "club")
WRITE = st.one_of(
    st.tuples(st.just("decide"), st.sampled_from([None, *CONNECTIONS])),
    st.tuples(st.just("fail"), st.sampled_from([None, *CONNECTIONS])),
    st.tuples(st.sampled_from(["account A", "account B", "account"]), st.sampled_from(CONNECTIONS)),
)


def decide(db: Transaction, connection: str | None) -> None:
    write_decision(db, Decision("pause", "ada", connection), NOW)


def fail(db: Transaction, connection: str | None) -> None:
    decide(db, connection)
    raise LookupError("this one is rolled back alone")


@contextmanager
def journal_file() -> Iterator[JournalConnection]:
    with tempfile.TemporaryDirectory() as folder:
        db = connect(Path(folder) / "journal.db")
        db.execute("PRAGMA synchronous = OFF")
        prepare_schema(db, Path(folder) / "journal.db")
        yield db
        db.close()


def commit(db: JournalConnection, jobs: Sequence[WriteJob]) -> None:
    """Commits all of them in one transaction."""
    waiting = deque(jobs)
    committer = GroupCommitter(
        db, Path("journal.db"), lambda: waiting.popleft() if waiting else None, lambda: 0.0
    )
    while waiting:
        committer.commit(waiting.popleft())


def jobs_of(group: Sequence[tuple[str, str | None]]) -> list[WriteJob]:
    jobs = []
    for kind, connection in group:
        account = kind.removeprefix("account").strip() or None
        work = {"decide": decide, "fail": fail}.get(kind) or partial(move, account=account)
        jobs.append(WriteJob(partial(call_with_connection, work, (connection,))))
    return jobs


def entries(db: JournalConnection) -> list[tuple[str, int, str]]:
    """The chain, number and kind of each entry; every chain holds."""
    checker = AuditChecker()
    assert checker.check_entries(db)
    assert checker.broken is None
    found = db.execute(
        "SELECT c.name, a.number, a.kind FROM audit a JOIN audit_chains c ON c.id = a.chain ORDER BY a.seq"
    )
    return found.fetchall()


@given(st.lists(st.lists(WRITE, min_size=1, max_size=8), min_size=1, max_size=4))
def test_what_is_written_together_stands_as_if_each_were_written_alone(
    groups: list[list[tuple[str, str | None]]],
) -> None:
    """Some of them fail, and accounts become known, change and are forgotten in between."""
    with journal_file() as together, journal_file() as alone:
        for group in groups:
            jobs = jobs_of(group)
            commit(together, jobs)
            for job, (kind, _) in zip(jobs, group, strict=True):
                assert isinstance(job.error, LookupError) if kind == "fail" else job.error is None
            for job in jobs_of(group):
                commit(alone, [job])
        assert entries(together) == entries(alone)


def move(db: Transaction, connection: str, account: str | None) -> None:
    save_account(db, connection, account, NOW)


def test_a_commit_of_many_writes_reads_and_writes_the_ends_once() -> None:
    with journal_file() as db:
        commit(db, [WriteJob(partial(call_with_connection, decide, ("shop",)))])
        seen: list[str] = []
        db.set_trace_callback(seen.append)
        commit(db, [WriteJob(partial(call_with_connection, decide, ("shop",))) for _ in range(50)])
        db.set_trace_callback(None)
    ends = [
        each for each in seen if "audit_chains" in each or "audit_head" in each or "audit_accounts" in each
    ]
    assert sum("INSERT INTO audit (" in each for each in seen) == 50
    assert len(ends) <= 6, ends
