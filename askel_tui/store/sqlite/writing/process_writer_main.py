"""The process that writes the journal for another one; see `process_writer`.

It takes functions with their arguments, and answers after each commit. What was handed in is written even where the
other process is gone: the file is at rest once this process has ended.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from askel_tui.store.errors import StoreError
from askel_tui.store.sqlite.connection import connect
from askel_tui.store.sqlite.writing.group_commit import GroupCommitter, WriteJob, call_with_connection
from askel_tui.worker_process.child import WorkerChannel, run_worker


def serve(channel: WorkerChannel, path: str) -> None:
    """Writes for the other side until that ends. Raises `JournalError` where it can't begin."""
    file = Path(path)
    committer = GroupCommitter(connect(file), file, lambda: _job(channel.poll_question()))
    try:
        while (job := _job(channel.next_question())) is not None:
            group = committer.commit(job)
            channel.answer((each.error, each.result) for each in group)
            del job, group  # megabytes, maybe, and the next ones may be long in coming
    finally:
        committer.close()


def _job(question: tuple[Any] | None) -> WriteJob | None:
    if question is None:
        return None
    ((work, arguments),) = question
    return WriteJob(partial(call_with_connection, work, arguments))


if __name__ == "__main__":
    run_worker(serve, StoreError)
