"""Cases, each in a home of its own and under either rules, against a sandbox in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.askel import Askel
from tests.support.case_runner import RULES, CaseRun
from tests.support.sandbox import SandboxProcess, sandbox_process


@pytest.fixture(scope="module")
def account() -> Iterator[SandboxProcess]:
    """Maple & Ember, shared by the cases of a module, one after another."""
    with sandbox_process() as one:
        yield one


@pytest.fixture(
    params=[pytest.param(rules, marks=[pytest.mark.slow] if rules == RULES[0] else []) for rules in RULES],
    ids=lambda rules: f"rules-{rules}",
)
def rules(request: pytest.FixtureRequest) -> int:
    """The rules that the workflow files of a case are run under: the first, and the newest."""
    return int(request.param)


@pytest.fixture
def case(account: SandboxProcess, tmp_path: Path, rules: int) -> Callable[[str], CaseRun]:
    """Opens a case by its name."""
    askel = Askel(tmp_path / "home", account.url, account.key)
    return lambda name: CaseRun(name, askel, account, rules)
