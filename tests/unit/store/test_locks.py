"""Locks hold between processes and threads, and end with their holder."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from askel_tui.store.errors import AlreadyOwned, HomeUnusable, LockTimeout
from askel_tui.store.locks import OwnershipLock, locked, owner_pid
from tests.support.processes import line, python

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
    import sys
    from pathlib import Path
    from askel_tui.store.locks import OwnershipLock
    OwnershipLock(Path(sys.argv[1])).acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_owns_a_home_until_it_is_killed(tmp_path: Path) -> None:
    with python(HOLDER, tmp_path) as holder:
        assert line(holder) == "held"
        assert owner_pid(tmp_path) == holder.pid
        with pytest.raises(AlreadyOwned) as caught:
            OwnershipLock(tmp_path).acquire()
        assert caught.value.pid == holder.pid
        assert f"process {holder.pid}" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        holder.kill()
        holder.wait()
        assert owner_pid(tmp_path) is None
        with OwnershipLock(tmp_path):
            assert owner_pid(tmp_path) == os.getpid()
            assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"


def test_a_released_home_can_be_owned_again(tmp_path: Path) -> None:
    first, second = OwnershipLock(tmp_path), OwnershipLock(tmp_path)
    first.acquire()
    with pytest.raises(AlreadyOwned):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_nobody_owns_a_fresh_home(tmp_path: Path) -> None:
    assert owner_pid(tmp_path) is None
    assert owner_pid(tmp_path / "missing") is None


def test_lock_files_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with OwnershipLock(tmp_path), locked(tmp_path / "state.json"):
            pass
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"daemon.lock": 0o600, "state.json.lock": 0o600}


def test_a_lock_in_a_missing_place_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="no such file or directory; set ASKEL_HOME"):
        OwnershipLock(tmp_path / "missing").acquire()


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "file"),
        pytest.raises(LockTimeout, match="another Askel process"),
        locked(tmp_path / "file", 0.01),
    ):
        pytest.fail("two held one lock")


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with locked(tmp_path / "file"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80
