"""`askel`, each test with a home of its own, against a sandbox in another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.askel import Askel, Inside
from tests.support.sandbox import SandboxProcess, sandbox_process
from tests.support.shell import Shell


@pytest.fixture(scope="module")
def account() -> Iterator[SandboxProcess]:
    """Maple & Ember, shared by the tests of a module."""
    with sandbox_process() as one:
        yield one


@pytest.fixture
def askel(account: SandboxProcess, tmp_path: Path) -> Askel:
    """`askel` with a fresh home and the module's account."""
    return Askel(tmp_path / "home", account.url, account.key)


@pytest.fixture
def offline(tmp_path: Path) -> Askel:
    """`askel` with a fresh home and nobody at Klaviyo's address (port 9 takes no connections)."""
    return Askel(tmp_path / "home", "http://127.0.0.1:9", "pk_nobody_is_there")


@pytest.fixture
def shell(askel: Askel) -> Shell:
    """The same home and account ; what is started is a process of its own."""
    return Inside(askel.home, askel.url, askel.key)
