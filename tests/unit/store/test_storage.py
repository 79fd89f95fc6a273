"""The document storage: whole after any kill, nothing lost between processes, private."""

from __future__ import annotations

import json
import os
import random
import stat
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinydb import where

from askel_tui.store.errors import CorruptState, HomeUnusable
from askel_tui.store.state.tinydb_storage import DocumentStore
from tests.support.processes import finished, line, python, run_python

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
    import sys
    from pathlib import Path
    from tinydb import where
    from askel_tui.store.state.tinydb_storage import DocumentStore
    table = DocumentStore(Path(sys.argv[1])).table("rows")
    n = int(sys.argv[2])
    while True:
        n += 1
        # Long and short in turn, so that the file grows and shrinks.
        table.upsert({"name": "row", "n": n, "pad": "x" * (400_000 if n % 2 else 10)}, where("name") == "row")
        print(n, flush=True)
"""

DIER = """
    import os, signal, sys
    from pathlib import Path
    from askel_tui.store.state.tinydb_storage import DocumentStore

    file = Path(sys.argv[1])

    def die_at(step):
        # Kills this process when the code that writes files comes to its n-th line.
        left = step
        def trace(frame, event, argument):
            nonlocal left
            if not frame.f_code.co_filename.endswith("store/atomic_files.py"):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)

    def update_and_die(step, pad):
        # Each child finds the same: one file that a killed writer left, so that step n is the same line for all.
        for stale in file.parent.glob("*.tmp.*"):
            stale.unlink()
        file.with_name(file.name + ".tmp.1.stale").touch()
        child = os.fork()
        if child == 0:
            die_at(step)
            with DocumentStore(file) as documents:
                documents.table("rows").update({"pad": "x" * pad})
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    long, short = 50_000, 10
    step, died = 0, True
    while died:
        step += 1
        # Shrinking and growing: both ways a file can change.
        for before, after in (long, short), (short, long):
            with DocumentStore(file) as documents:
                documents.table("rows").truncate()
                documents.table("rows").insert({"pad": "x" * before})
            died = update_and_die(step, after)
            with DocumentStore(file) as documents:
                [row] = documents.documents("rows")
            assert len(row["pad"]) == after or (died and len(row["pad"]) == before), (step, len(row["pad"]))
    print(step)
"""

INSERTER = """
    import sys
    from pathlib import Path
    from askel_tui.store.state.tinydb_storage import DocumentStore
    table = DocumentStore(Path(sys.argv[1])).table("rows")
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(50):
        table.insert({"writer": int(sys.argv[2]), "n": n})
"""


def test_kill_9_while_writing_leaves_a_whole_file_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    acknowledged = 0
    moments = random.Random(7)
    for _ in range(15):
        with python(WRITER, file, acknowledged) as writer:
            for _ in range(moments.randint(1, 10)):
                acknowledged = int(line(writer))
            # Some moment of the next writes, which take milliseconds.
            moment = time.perf_counter() + moments.uniform(0, 0.012)
            while time.perf_counter() < moment:
                pass
            writer.kill()
            assert writer.stdout is not None
            # What it managed to say before the kill counts as well.
            rest = [text for text in writer.stdout.read().split("\n") if text]
            acknowledged = int(rest[-1]) if rest else acknowledged
        with DocumentStore(file) as documents:
            [row] = documents.documents("rows")
        assert len(row["pad"]) == (400_000 if row["n"] % 2 else 10)
        assert row["n"] in (acknowledged, acknowledged + 1)
        acknowledged = row["n"]


def test_kill_9_at_every_line_that_writes_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    steps = int(run_python(DIER, tmp_path / "state.json"))
    assert steps > 15


def test_the_next_write_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    (tmp_path / "state.json.tmp.4711.cafe").write_bytes(b"{")
    (tmp_path / "other.json.tmp.1.a").write_bytes(b"")
    with DocumentStore(file) as documents:
        documents.table("rows").insert({"n": 1})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"state.json", "state.json.lock", "other.json.tmp.1.a"}


def test_four_processes_inserting_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with ExitStack() as stack:
        writers = [stack.enter_context(python(INSERTER, file, number)) for number in range(4)]
        for writer in writers:
            assert line(writer) == "ready"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for writer in writers:
            finished(writer)
    with DocumentStore(file) as documents:
        rows = documents.documents("rows")
    assert sorted((row["writer"], row["n"]) for row in rows) == [(w, n) for w in range(4) for n in range(50)]
    assert sorted(row.doc_id for row in rows) == list(range(1, 201))


def test_threads_sharing_one_storage_lose_nothing(tmp_path: Path) -> None:
    seen: list[int] = []
    with DocumentStore(tmp_path / "state.json") as documents:
        table = documents.table("rows")

        def work() -> None:
            for n in range(20):
                table.insert({"n": n})
                seen.append(sum("n" in row for row in table.all()))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(table) == 120
    assert len(seen) == 120
    assert max(seen) == 120


def test_the_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with DocumentStore(tmp_path / "state.json") as documents:
            documents.table("rows").insert({"n": 1})
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_disk_that_is_full_costs_nothing_that_was_there(tmp_path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from askel_tui.store.errors import HomeUnusable
        from askel_tui.store.state.tinydb_storage import DocumentStore
        documents = DocumentStore(Path(sys.argv[1]))
        table = documents.table("rows")
        table.insert({"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            table.insert({"n": 2, "pad": "x" * 10_000})
        except HomeUnusable as error:
            print(error)
        table.insert({"n": 3})
        print([row["n"] for row in table.all()])
    """
    sentence, rows = run_python(code, tmp_path / "state.json").splitlines()
    assert "can't be written: file too large; set ASKEL_HOME" in sentence
    assert rows == "[1, 3]"
    assert {path.name for path in tmp_path.iterdir()} == {"state.json", "state.json.lock"}


def test_a_change_that_raises_changes_nothing(tmp_path: Path) -> None:
    def fail(row: Any) -> None:
        row["n"] = 99
        raise RuntimeError("no")

    with DocumentStore(tmp_path / "state.json") as documents:
        table = documents.table("rows")
        table.insert({"n": 1})
        table.all()
        with pytest.raises(RuntimeError, match="no"):
            table.update(fail)
        assert table.all() == [{"n": 1}]
        table.insert({"n": 2})
    with DocumentStore(tmp_path / "state.json") as documents:
        assert [row["n"] for row in documents.documents("rows")] == [1, 2]


def test_two_storages_see_each_others_changes_at_once(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "state.json") as one, DocumentStore(tmp_path / "state.json") as other:
        for n in range(60):
            assert one.table("rows").insert({"n": n % 10}) == n + 1
            assert len(other.table("rows")) == n + 1
            assert other.table("rows").search(where("n") == n % 10) == [{"n": n % 10}] * (n // 10 + 1)
        other.table("rows").truncate()
        assert one.documents("rows") == []


def test_several_changes_can_be_one_section(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "state.json") as one, DocumentStore(tmp_path / "state.json") as other:
        done = threading.Event()

        def insert() -> None:
            other.table("rows").insert({"n": 3})
            done.set()

        with one.locked():
            one.table("rows").insert({"n": 1})
            thread = threading.Thread(target=insert)
            thread.start()
            one.table("rows").insert({"n": 2})
            assert not done.is_set()
        thread.join()
        assert [row["n"] for row in one.documents("rows")] == [1, 2, 3]


def test_dropped_tables_are_gone_for_all(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "state.json") as one, DocumentStore(tmp_path / "state.json") as other:
        for name in ("a", "b", "c"):
            one.table(name).insert({"n": 1})
        other.drop_table("a")
        assert one.tables() == {"b", "c"}
        other.drop_tables()
        assert one.tables() == set()


@pytest.mark.parametrize(
    "content",
    [
        b'{"rows": {"1": {"n"',
        b"[]",
        b'{"rows": []}',
        b'{"rows": {"x": {}}}',
        b'{"rows": {"1": 5}}',
        b"\xff\xfe\x00",
        b"[" * 10**5,
    ],
    ids=["cut", "list", "no table", "no number", "no document", "no text", "deep"],
)
def test_a_damaged_file_is_reported_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    with DocumentStore(file) as documents:
        with pytest.raises(CorruptState, match=r"state\.json is damaged.*restore it from a backup"):
            documents.documents("rows")
        with pytest.raises(CorruptState, match=r"state\.json is damaged.*restore it from a backup"):
            documents.table("rows").insert({"n": 1})
    assert file.read_bytes() == content


def test_an_empty_or_missing_file_holds_nothing(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "state.json") as documents:
        assert documents.documents("rows") == []
        (tmp_path / "state.json").write_bytes(b"")
        assert documents.documents("rows") == []
        documents.table("rows").insert({"n": 1})
        (tmp_path / "state.json").unlink()
        assert documents.documents("rows") == []


def test_a_place_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "missing" / "state.json") as documents:
        assert documents.documents("rows") == []
        with pytest.raises(HomeUnusable, match="set ASKEL_HOME"):
            documents.table("rows").insert({"n": 1})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=3))
def test_documents_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    file = tmp_path_factory.mktemp("rows") / "state.json"
    with DocumentStore(file) as documents:
        documents.table("rows").insert_multiple(rows)
    with DocumentStore(file) as documents:
        assert documents.documents("rows") == rows


def test_the_file_reads_well(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "state.json") as documents:
        documents.table("rows").insert({"name": "Müller", "bad": "\ud800"})
    text = (tmp_path / "state.json").read_bytes()
    assert "Müller".encode() in text
    assert json.loads(text)["rows"]["1"]["bad"] == "\ud800"
