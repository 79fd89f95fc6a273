"""One cause, one notice: whatever begins, spreads, joins and ends, under a clock that the test turns.

The model keeps, by cause, the steps that stand; what was delivered to an address for everybody is compared with it.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from askel_tui.core.hold_causes import Cause
from askel_tui.core.incidents import incident_of
from askel_tui.store.journal.rows import Decision, Hold
from askel_tui.store.sqlite.journal import open_journal
from askel_tui.sync.instance import Instance
from askel_tui.sync.notifications.channels import Message
from askel_tui.sync.notifications.notifier import Notifier
from askel_tui.sync.timing import Timing
from tests.support.examples import examples
from tests.unit.journal.samples import NOW

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
ADDRESS = "https+hmac://secret@hook.example/x"
ACCOUNTS = {"anna": "A", "anna-two": "A", "ben": "B", "cleo": "C", "dan": "D"}
"""The connections and their accounts; the first two have one key."""

WIDE = "wide"
CAUSES = (
    Cause.KEY_REFUSED, Cause.SCOPE_MISSING, Cause.REVISION, Cause.OUTAGE, Cause.LIMIT, Cause.TARGET_GONE,
    Cause.GATE_UNREADABLE,
)  # fmt: skip

StepName = tuple[str, str]


@dataclass
class Incident:
    """What the model knows of a cause that stands."""

    began: int
    steps: set[StepName] = field(default_factory=set)


class IncidentMachine(RuleBasedStateMachine):
    """Accounts that go wrong and right again, and a notifier that tells of it."""

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.journal = self.runner.run(open_journal(Path(self.directory.name)))
        self.now = NOW
        self.standing: dict[str, Incident] = {}
        self.delivered: list[dict[str, Any]] = []
        self.expected: list[tuple[str, str]] = []
        """The kinds of notices with their incident, in the order in which they were due."""
        documents = [SimpleNamespace(name=name, key=account, notify=()) for name, account in ACCOUNTS.items()]
        instance = SimpleNamespace(
            journal=self.journal,
            clock=lambda: self.now,
            timing=Timing(),
            connections_stamp=lambda: 1,
            state=SimpleNamespace(settings=lambda: {"notify": [ADDRESS]}, connections=lambda: documents),
        )
        self.notifier = Notifier(cast(Instance, instance), self._deliver)
        self.runner.run(self.notifier.run_round())

    def teardown(self) -> None:
        self.runner.run(self.journal.close())
        self.runner.close()
        self.directory.cleanup()

    async def _deliver(self, address: str, message: Message, now_s: int) -> None:
        self.delivered.append(message.document)

    @rule(
        connection=st.sampled_from(sorted(ACCOUNTS)),
        step=st.sampled_from("xy"),
        cause=st.sampled_from(CAUSES),
    )
    def goes_wrong(self, connection: str, step: str, cause: Cause) -> None:
        if any((connection, step) in each.steps for each in self.standing.values()):
            return
        account = ACCOUNTS[connection]
        name = incident_of(cause, "it is so", connection, account=account, key=account, revision="2026-07-15")
        hold = Hold(
            connection, f"of-{connection}", 1, step, cause, f"{cause} {connection}", self.now, incident=name
        )
        self.runner.run(self.journal.add_hold(hold, self.now))
        if cause == Cause.OUTAGE:
            name = self._join(name)
        if name not in self.standing:
            self.standing[name] = Incident(self.now)
            self.expected.append(("hold", name))
        self.standing[name].steps.add((connection, step))

    def _join(self, name: str) -> str:
        """An outage is part of the wide one, or makes one with two others of the last minute."""
        recent = [
            each
            for each, incident in self.standing.items()
            if each.startswith(Cause.OUTAGE) and incident.began > self.now - MINUTE
        ]
        if name in self.standing and name not in recent:
            return name
        if WIDE in self.standing:
            recent = [each for each in recent if each == name]
        elif len({*recent, name}) < 3:
            return name
        for each in recent:
            before = self.standing.pop(each)
            if WIDE in self.standing:
                self.expected.remove(("hold", each))
                self.standing[WIDE].steps |= before.steps
            else:
                self.standing[WIDE] = before
                self.expected[self.expected.index(("hold", each))] = ("hold", WIDE)
        return WIDE

    @rule(data=st.data())
    def goes_right(self, data: st.DataObject) -> None:
        if not self.standing:
            return
        name = data.draw(st.sampled_from(sorted(self.standing)))
        self.ends(name, data.draw(st.sets(st.sampled_from(sorted(self.standing[name].steps)), min_size=1)))

    def ends(self, name: str, some: set[StepName]) -> None:
        """Ends the holds of some steps of a cause."""
        steps = self.standing[name].steps
        for connection, step in sorted(some):
            decision = Decision("release", "askel", connection, f"of-{connection}", step)
            self.runner.run(self.journal.release_hold(f"of-{connection}", step, decision, self.now))
        steps -= some
        if not steps:
            del self.standing[name]
            self.expected.append(("recovery", name))

    @rule(wait=st.sampled_from([SECOND, 20 * SECOND, 2 * MINUTE, 50 * MINUTE, 5 * HOUR, 18 * HOUR]))
    def time_passes(self, wait: int) -> None:
        for _ in range(2):
            self.now += wait // 2
            self.runner.run(self.notifier.run_round())

    @invariant()
    def an_incident_is_announced_once_and_its_end_once(self) -> None:
        """Between two notices of a cause lies that of its end, and nothing else is delivered."""
        kinds: dict[str, list[str]] = {}
        for kind, name in self.expected:
            kinds.setdefault(name, []).append(kind)
        for delivered in kinds.values():
            assert delivered == ["hold", "recovery"] * (len(delivered) // 2) + ["hold"] * (len(delivered) % 2)
        delivered = [each["kind"] for each in self.delivered if each["kind"] != "reminder"]
        due = [kind for kind, _ in self.expected]
        assert delivered == due[: len(delivered)]

    @invariant()
    def what_stands_is_announced_with_all_its_steps(self) -> None:
        notices = self.runner.run(self.journal.notices())
        loud = [each for each in notices if not each.quiet and each.kind != "reminder"]
        assert [each.kind for each in loud] == [kind for kind, _ in self.expected]
        if not self.standing:
            assert self.runner.run(self.journal.holds()) == []

    @rule()
    def all_is_announced_and_reminders_name_all_steps(self) -> None:
        """A day later each cause that stands was delivered of again, with the steps that it stops by then."""
        before = len(self.delivered)
        for hours in (1, 24):
            for wait in (hours * HOUR, 2 * SECOND):
                self.now += wait
                self.runner.run(self.notifier.run_round())
        delivered = [each["kind"] for each in self.delivered if each["kind"] != "reminder"]
        assert delivered == [kind for kind, _ in self.expected]
        last = [each for each in self.delivered[before:] if each["kind"] == "reminder"]
        for incident in self.standing.values():
            named = [{(step["connection"], step["step"]) for step in each["steps"]} for each in last]
            assert any(incident.steps <= each for each in named)
            assert any(incident.steps == each for each in named)


TestIncidents = pytest.mark.slow(IncidentMachine.TestCase)
TestIncidents.settings = examples(60, stateful_step_count=25)


def test_some_stories_of_one_cause() -> None:
    """What the machine finds in time, delivered once: a key of two connections, and an outage of three accounts."""
    machine = IncidentMachine()
    machine.open()
    try:
        for connection in ("anna", "anna-two"):
            for step in "xy":
                machine.goes_wrong(connection, step, Cause.KEY_REFUSED)
        machine.all_is_announced_and_reminders_name_all_steps()
        for connection in ("ben", "cleo", "dan"):
            machine.goes_wrong(connection, "x", Cause.OUTAGE)
            machine.time_passes(20 * SECOND)
        machine.goes_wrong("ben", "y", Cause.OUTAGE)
        machine.all_is_announced_and_reminders_name_all_steps()
        assert [each["kind"] for each in machine.delivered if each["kind"] != "reminder"] == ["hold", "hold"]
        assert machine.delivered[0]["connections"] == ["anna", "anna-two"]
        for name in list(machine.standing):
            machine.ends(name, machine.standing[name].steps.copy())
        machine.all_is_announced_and_reminders_name_all_steps()
        machine.what_stands_is_announced_with_all_its_steps()
        assert [each["kind"] for each in machine.delivered if each["kind"] != "reminder"][2:] == [
            "recovery"
        ] * 2
    finally:
        machine.teardown()
