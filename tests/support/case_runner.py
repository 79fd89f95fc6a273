"""Runs a folder of `tests/cases`: its files through `askel` in this process, against a sandbox over a real socket.

A workflow file is run under the first rules or, with the marker put at its head, under the newest ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askel_tui.core.workflows.upgrade import upgrade_file
from tests.support.askel import Askel
from tests.support.sandbox import SandboxProcess

CASES = Path(__file__).parent.parent / "cases"
CONNECTION = "me"
RULES = (1, 2)
"""What `rules` may be; `pytest.mark.parametrize("rules", RULES)` runs a case both ways."""


@dataclass(frozen=True)
class CaseRun:
    """A case in a home of its own, connected to the account of a sandbox, which is as it was at its start."""

    name: str
    askel: Askel
    account: SandboxProcess
    rules: int = 1

    def __post_init__(self) -> None:
        self.account.control("POST", "reset", {})
        self.askel.connect(CONNECTION)

    def path(self, file: str) -> Path:
        """A file of the case."""
        return CASES / self.name / file

    def workflow(self, file: str = "wf.yaml", replace: Mapping[str, str] | None = None) -> str:
        """Writes a workflow of the case beside the home, under the run's rules, and returns where.

        `replace` are parts of its text that are written in another way.
        """
        text = self.path(file).read_text()
        for before, after in (replace or {}).items():
            assert before in text, before
            text = text.replace(before, after)
        copy = self.askel.home.parent / file
        copy.write_text(upgrade_file(text, file).after if self.rules == 2 else text)
        return str(copy)

    def apply(self, file: str = "wf.yaml", *, code: int = 0, replace: Mapping[str, str] | None = None) -> Any:
        """Applies a workflow of the case and returns the answer."""
        return self.askel.json("workflow", "apply", self.workflow(file, replace), code=code)

    def ingest(self, file: str = "r.jsonl", *, code: int = 0) -> None:
        """Takes the records of a file in."""
        self.askel("ingest", str(self.path(file)), "--connection", CONNECTION, code=code)

    def dry_run(self, workflow: str, file: str | None = None, *words: str, code: int = 0) -> Any:
        """The dry run of the kept records, or of a file's."""
        files = [str(self.path(file))] if file else []
        return self.askel.json("dry-run", workflow, *files, *words, code=code)

    def go_live(self, workflow: str, *, code: int | None = 0) -> None:
        """Activates the workflow for all kept records, and sends until nothing is left that can be sent."""
        self.askel("workflow", "activate", workflow, "--since", "2000-01-01", "--fire-flows")
        self.askel("daemon", "--until-idle", code=code)

    def audit(self, record: str) -> list[dict[str, Any]]:
        """The audit entries of a record."""
        return self.askel.lines("audit", "--record", record)

    def profiles(self) -> dict[str, dict[str, Any]]:
        """The account's profiles by e-mail, else by phone number or external id."""
        found = self.account.state()["profiles"]
        return {_label(each): each for each in found}

    def requests(self, call: str) -> int:
        """How many requests of a call the account was sent."""
        return sum(self.account.control("GET", "state")["requests"].get(call, {}).values())


def _label(profile: Mapping[str, Any]) -> str:
    given = (profile.get(name) for name in ("email", "phone_number", "external_id"))
    return str(next(filter(None, given), profile["id"]))
