"""An instance connected to a sandbox, in this process: what a test of the engine starts from."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from askel_tui.contract.revisions import NEWEST
from askel_tui.klaviyo.retries import RetryPolicy
from askel_tui.sandbox.http import control_groups
from askel_tui.sandbox.http.server import RunningSandbox
from askel_tui.sandbox.state.dump import account_state
from askel_tui.sandbox.state.faults import Fault
from askel_tui.services import connections, workflows
from askel_tui.services.ingest import IngestResult, ingest
from askel_tui.store.journal.rows import AuditEntry, AuditFilter
from askel_tui.sync.engine.engine import Engine
from askel_tui.sync.instance import Instance, open_instance
from tests.support.environment import vault_key
from tests.support.files import EXAMPLES
from tests.support.openapi import ContractViolation, validate_call

ACTOR = "test"
NAME = "maple-ember"


class Workbench:
    """An open instance, its sandbox, and the words a test needs."""

    retry_policy: RetryPolicy | None = None
    """How calls are retried, in all instances of the home, where it is not as usual."""

    def __init__(self, instance: Instance, sandbox: RunningSandbox) -> None:
        self.instance = instance
        instance.retry_policy = self.retry_policy
        self.sandbox = sandbox
        self._clock: Callable[[], int] | None = None
        self.requests_since = sandbox.world.logged_count
        """The last request of making the connection: probes of scopes, some of them wrong on purpose."""

    async def apply(
        self,
        source: str | Path,
        *,
        activate: bool = True,
        since: str | None = None,
        unsent: Any = None,
        flows: Any = "fire",
    ) -> str:
        """Applies a workflow (a path or YAML) and activates it; gives its name."""
        text = source.read_text() if isinstance(source, Path) else source  # noqa: ASYNC240
        file = source.name if isinstance(source, Path) else "test.yaml"
        result = await workflows.apply(self.instance, text, file, ACTOR)
        if activate:
            await workflows.activate(
                self.instance, result.document.workflow, ACTOR, since=since, unsent=unsent, flows=flows
            )
        return result.document.workflow

    async def take(self, records: Path | Iterable[Mapping[str, Any]]) -> IngestResult:
        """Ingests a file or records."""
        if isinstance(records, Path):
            kind = "csv" if records.suffix == ".csv" else "jsonl"
            with records.open("rb") as lines:
                return await ingest(self.instance, NAME, lines, "csv" if kind == "csv" else "jsonl")
        return await ingest(self.instance, NAME, [json.dumps(record).encode() for record in records], "jsonl")

    async def drain(self) -> None:
        """Runs the engine until nothing is left that can be sent."""
        async with open_instance(self.instance.home, owner=True) as owner:
            self.hand_on(owner)
            await Engine(owner).run(until_idle=True)

    def hand_on(self, owner: Instance) -> None:
        """Gives another instance of the home the limits and waiting times that the test chose."""
        owner.http_limits, owner.retry_policy = self.instance.http_limits, self.instance.retry_policy
        owner.timing, owner.limits = self.instance.timing, self.instance.limits
        owner.clock = self._clock or owner.clock

    def set_clock(self, clock: Callable[[], int]) -> None:
        """Chooses the clock of this instance and of the engines that are started from now on."""
        self._clock = self.instance.clock = clock

    def set_timing(self, **values: Any) -> None:
        """Chooses waiting times of the engines that are started from now on."""
        self.instance.timing = replace(self.instance.timing, **values)

    def set_limits(self, **values: Any) -> None:
        """Chooses limits of the engines that are started from now on."""
        self.instance.limits = replace(self.instance.limits, **values)

    async def audit(self, **wanted: Any) -> list[AuditEntry]:
        """Audit entries, oldest first."""
        return await self.instance.journal.audit_entries(AuditFilter(**wanted), limit=100_000)

    def state(self) -> dict[str, Any]:
        """All that the sandbox's account holds."""
        return account_state(self.sandbox.account)

    def profile(self, email: str) -> dict[str, Any]:
        """The account's profile of that e-mail; fails where there is none."""
        for profile in self.state()["profiles"]:
            if profile.get("email") == email:
                found: dict[str, Any] = profile
                return found
        raise AssertionError(f"no profile has the e-mail {email}")

    def on_list(self, name: str) -> list[str]:
        """The e-mails on a list, sorted."""
        return next(each["emails"] for each in self.state()["lists"] if each["name"] == name)

    def events(self, metric: str) -> list[dict[str, Any]]:
        """The events of a metric."""
        return [each for each in self.state()["events"] if each["metric"] == metric]

    def put_on_list(self, name: str, *emails: str) -> None:
        """Sets the members of a list."""
        found = next(each for each in self.sandbox.account.lists.values() if each.name == name)
        control_groups.respond(
            self.sandbox.account,
            "PUT",
            ["lists", found.id, "members"],
            {"profiles": list(emails)},
            time.time(),
        )

    def delete_list(self, name: str) -> None:
        """Deletes a list, as a person in Klaviyo would."""
        control_groups.respond(self.sandbox.account, "DELETE", ["lists", name], {}, time.time())

    def requests(self, endpoint: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The sandbox's request log, oldest first."""
        return [
            entry
            for entry in self.sandbox.world.log
            if entry["n"] > after and (endpoint is None or entry["endpoint"] == endpoint)
        ]

    def fault(self, endpoint: str, **how: Any) -> None:
        """Makes calls of an endpoint go wrong; see the sandbox's control surface."""
        self.sandbox.world.faults.all.append(Fault.read({"endpoint": endpoint, **how}))

    def assert_valid_requests(self) -> None:
        """Every request since the connection was made is one that Klaviyo's own specification allows.

        Before that are the probes of write scopes, some of which are wrong on purpose.
        """
        problems = []
        for entry in self.requests(after=self.requests_since):
            if entry["status"] == "reset":
                continue  # the sandbox hung up before it read the body
            try:
                validate_call(
                    entry["revision"], entry["method"], entry["path"], entry["query"], entry["body"]
                )
            except ContractViolation as violation:
                problems.append(str(violation))
        assert not problems, "\n".join(problems[:5])


@asynccontextmanager
async def workbench(
    home: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, *, revision: str = NEWEST
) -> AsyncIterator[Workbench]:
    """A connected instance in `home`."""
    monkeypatch.setenv("ASKEL_HOME", str(home))
    for name, value in vault_key().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASKEL_KLAVIYO_URL", sandbox.url)
    async with open_instance(home) as instance:
        await connections.connect(
            instance,
            NAME,
            sandbox.key,
            ACTOR,
            revision=revision,
            accept_retired=revision != NEWEST,
        )
        bench = Workbench(instance, sandbox)
        bench.set_timing(first_retry_wait_ms=20, max_retry_wait_ms=100)
        yield bench


def bench_of(request: pytest.FixtureRequest) -> Workbench | None:
    """The workbench of a test, if it has one; it is made after `brisk`, where the test uses that."""
    if "brisk" in request.fixturenames:
        request.getfixturevalue("brisk")
    for name in ("either", "bench"):
        if name in request.fixturenames:
            bench: Workbench = request.getfixturevalue(name)
            return bench
    return None


def example(name: str) -> Path:
    """A file of the shared examples."""
    return EXAMPLES / name


def points(number: int, **shopper: Any) -> dict[str, Any]:
    """A record of the first-points workflow."""
    person = {"id": f"T-{number}", "email": f"t{number}@mapleandember.example", "tier": "gold", **shopper}
    return {
        "id": f"t-{number}",
        "event": "first_points_earned",
        "time": "2026-11-23T10:00:00Z",
        "data": {"points": 5 + number, "store": "Leeds", "shopper": person},
    }
