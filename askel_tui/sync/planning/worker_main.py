"""The planning process: builds runs of stored records for the engine (`backlog_workers`). It only reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from askel_tui.store.errors import StoreError
from askel_tui.store.journal.tables.records import records_after
from askel_tui.store.sqlite.connection import connect
from askel_tui.sync.planning.run_builder import build_runs
from askel_tui.worker_process.child import WorkerChannel, run_worker


def serve(channel: WorkerChannel, path: str) -> None:
    """Answers with the runs of records until the other side ends. Raises `JournalError` where it can't begin."""
    db = connect(Path(path), read_only=True)
    while (question := channel.next_question()) is not None:
        try:
            channel.answer([(None, _build_answer(db, *question))])
        except Exception as error:  # the engine gets any error
            channel.answer([(error, None)])


def _build_answer(db: Any, question: Any) -> Any:
    if question is None:
        return None
    connection, seq, count, applied, since, history = question
    records = records_after(db, connection, seq, count, events=applied.workflow.triggers)
    return build_runs(records, applied, since, history)


if __name__ == "__main__":
    run_worker(serve, StoreError)
