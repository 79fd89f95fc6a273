"""What ought to have happened: the records executed one by one, in order, against the simplest account there is.

Answers of gates and who was planned under which version are taken from the run; nothing else is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.simulator.workflows import IDENTIFIERS, TRIGGERS, Step, identifiers_of

Outcome = Literal["done", "nothing", "passed", "stopped", "failed"]
"""What becomes of a step: done, nothing to do, a gate that lets through, what a gate stops, refused."""

Facts = Mapping[tuple[str, str, str], bool]
"""What gates answered, by workflow, record and step."""


@dataclass
class Person:
    """A profile of the account."""

    identifiers: dict[str, str] = field(default_factory=dict)
    first_name: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    consent: str | None = None
    left: set[str] = field(default_factory=set)
    """The lists that the person was unsubscribed from."""
    events: list[tuple[str, int]] = field(default_factory=list)
    renamed: int = 0
    """The number of the account's renamings of properties that this person has been through."""

    def shown(self) -> dict[str, Any]:
        """Returns all of it, to be compared."""
        return {
            "identifiers": dict(sorted(self.identifiers.items())),
            "first_name": self.first_name,
            "properties": dict(sorted(self.properties.items())),
            "lists": sorted(self.lists),
            "consent": self.consent,
            "left": sorted(self.left),
            "events": sorted(self.events),
        }


class Refused(Exception):
    """Identifiers of several people in one update."""


class Reference:
    """Executes records one by one."""

    def __init__(
        self,
        known: Sequence[Mapping[str, str]],
        answers: Facts,
        renames: Sequence[tuple[int, str, str]] = (),
        done_at: Mapping[tuple[str, str, str], int] | None = None,
    ) -> None:
        """Takes from the run what gates answered, which properties were renamed when, and when steps were done."""
        self.people = [Person(dict(each)) for each in known]
        self.outcomes: dict[tuple[str, str, str], Outcome] = {}
        self._answers = answers
        self._renames = renames
        self._done_at = done_at or {}

    def execute(self, record: Mapping[str, Any], workflow: str, steps: Sequence[Step]) -> None:
        """Does all steps of a workflow for a record, if it is about that event."""
        if record["event"] not in TRIGGERS[workflow]:
            return
        data = record["data"]
        who = {name: data[name] for name in identifiers_of(workflow) if data.get(name)}
        if "email" in who:
            who["email"] = who["email"].lower()
        upserted = stopped = False
        for step in steps:
            key = (workflow, record["id"], step["id"])
            if stopped:
                self.outcomes[key] = "stopped"
                continue
            try:
                outcome = self._do(step, who, data, key, upserted)
            except Refused:
                self.outcomes[key] = "failed"
                return
            upserted |= step["do"] in ("upsert", "add")
            stopped = outcome == "stopped"
            self.outcomes[key] = "passed" if step["do"] == "gate" and not stopped else outcome

    def _do(
        self,
        step: Step,
        who: dict[str, str],
        data: Mapping[str, Any],
        key: tuple[str, str, str],
        upserted: bool,
    ) -> Outcome:
        match step["do"]:
            case "gate":
                return "done" if self._answers.get(key, True) else "stopped"
            case "upsert":
                person = self.update(who)
                self.rename_properties(person, self._done_at.get(key))
                person.first_name = data[step["first_name"]]
                for name, source in step["properties"].items():
                    person.properties[name] = data[source]
            case "add":
                (self.holders(who)[0] if upserted else self.update(who)).lists.add(step["list"])
            case "remove":
                if not (found := self.holders(who)):
                    return "nothing"
                found[0].lists.discard(step["list"])
            case "event":
                self.named(who).events.append((step["metric"], data["n"]))
            case "subscribe":
                person = self.named(who)
                person.consent = "SUBSCRIBED"
                person.lists.add(step["list"])
                person.left.discard(step["list"])
            case "unsubscribe":
                found = self.holders(who)
                if not found or step["list"] not in found[0].lists:
                    return "nothing"
                found[0].lists.discard(step["list"])
                found[0].left.add(step["list"])
        return "done"

    def rename_properties(self, person: Person, until: int | None) -> None:
        """Renames what somebody else renamed in the account before a time."""
        for at, before, after in self._renames[person.renamed :]:
            if until is not None and at > until:
                return
            person.renamed += 1
            if before in person.properties:
                person.properties[after] = person.properties.pop(before)

    def holders(self, who: Mapping[str, str]) -> list[Person]:
        """Finds the people who have one of the identifiers, that of the strongest first."""
        found: list[Person] = []
        for name in IDENTIFIERS:
            for person in self.people:
                if name in who and person.identifiers.get(name) == who[name] and person not in found:
                    found.append(person)
        return found

    def update(self, who: Mapping[str, str]) -> Person:
        """Finds or makes the person of an update, who gets all of the identifiers. Raises `Refused`."""
        found = self.holders(who)
        if len(found) > 1:
            raise Refused
        if not found:
            found = [Person()]
            self.people += found
        found[0].identifiers.update(who)
        return found[0]

    def named(self, who: Mapping[str, str]) -> Person:
        """Finds or makes the person of an event or consent: the strongest identifier decides, free ones are added."""
        found = self.holders(who)
        if not found:
            found = [Person()]
            self.people += found
        for name, value in who.items():
            taken = any(each.identifiers.get(name) == value for each in self.people)
            if not taken and name not in found[0].identifiers:
                found[0].identifiers[name] = value
        return found[0]
