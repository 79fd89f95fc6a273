"""Makes a run from a seed: what happens, one action after another. Each action can be left out without the others."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulator.account import LISTS
from tests.simulator.workflows import EVENTS, VERSIONS

KINDS: Final = (
    "consent",
    "faults",
    "pauses",
    "bulk",
    "crashes",
    "clock",
    "spellings",
    "holds",
    "versions",
    "drift",
    "rotation",
    "disk",
)
"""What a run may have beside records."""

DRAWN: Final = (
    "consent",
    "faults",
    "pauses",
    "bulk",
    "crashes",
    "clock",
    "holds",
    "spellings",
    "versions",
    "disk",
)
"""The kinds that a seed draws from: those in which no fault is known."""

FAULTED: Final = (
    "create_or_update_profile",
    "add_profiles_to_list",
    "remove_profiles_from_list",
    "create_event",
    "get_profiles",
    "get_profiles_for_segment",
    "bulk_subscribe_profiles",
    "bulk_import_profiles",
    "get_bulk_import_profiles_job",
    "bulk_create_events",
    "*",
)


CUT_SHARE: Final = 0.6
"""The share of lost answers that break within: their status, their headers and a part of their body come."""


@dataclass(frozen=True)
class Action:
    """One thing that happens: how long after the one before (virtual seconds), what, and with which details."""

    after: float
    do: str
    what: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """All that a seed decides."""

    seed: str
    limits: dict[str, Any]
    known: list[dict[str, str]]
    """The profiles that the account has before, by their identifiers."""
    actions: list[Action]
    kinds: tuple[str, ...] = ()


def make_story(seed: str, kinds: frozenset[str] | None = None, actions: int | None = None) -> Story:
    """Makes the story of a seed, which also decides what is not given: the kinds, and the number of actions."""
    chance = random.Random(f"size {seed}")
    drawn = frozenset(kind for kind in DRAWN if chance.random() < 0.4)
    count = chance.choice([10, 20, 40, 80])
    return _StoryMaker(seed, drawn if kinds is None else kinds).make(actions or count)


def person_of(data: dict[str, Any]) -> str:
    """Names the person of a record's data: each of the identifiers holds the same number."""
    name = next(str(data[name]) for name in ("external_id", "email", "phone_number") if data.get(name))
    digits = "".join(each for each in name.partition("@")[0] if each.isdigit())
    return str(int(digits[-2:])) if digits else name


class _StoryMaker:
    def __init__(self, seed: str, kinds: frozenset[str]) -> None:
        self.seed = seed
        self.kinds = kinds
        self.chance = random.Random(f"story {seed}")
        self.people = self.chance.randint(2, 9)
        self.records = 0
        self.burst = 12

    def make(self, count: int) -> Story:
        chance = self.chance
        limits: dict[str, Any] = {}
        if "bulk" in self.kinds:
            self.burst = 120 if count > 20 else 25
            limits["max_single_backlog_s"] = chance.choice([15.0, 0.3, 0.05])
            limits["records_per_transaction"] = chance.choice([1000, 7, 2])
        known = [self.person(number) for number in range(self.people) if chance.random() < self.known_share()]
        kinds = {
            "take": 12.0,
            "fault": 4.0 * ("faults" in self.kinds),
            "pause": 1.0 * ("pauses" in self.kinds),
            "resume": 1.5 * ("pauses" in self.kinds),
            "crash": 1.5 * ("crashes" in self.kinds),
            "clock": 0.5 * ("clock" in self.kinds),
            "members": 1.0,
            "hold": 1.0 * ("holds" in self.kinds),
            "release": 2.0 * ("holds" in self.kinds),
            "remove": 1.0 * ("holds" in self.kinds),
            "restore": 2.0 * ("holds" in self.kinds),
            "version": 1.5 * ("versions" in self.kinds),
            "rotate": 0.7 * ("rotation" in self.kinds),
            "rename": 0.8 * ("drift" in self.kinds),
            "full": 1.0 * ("disk" in self.kinds),
        }
        names = list(kinds)
        chosen = chance.choices(names, [kinds[name] for name in names], k=count)
        kinds_in_order = tuple(kind for kind in KINDS if kind in self.kinds)
        return Story(self.seed, limits, known, [self.action(name) for name in chosen], kinds_in_order)

    def known_share(self) -> float:
        """Returns the share of people whom the account has before, with all of their identifiers.

        What is held back links nobody meanwhile, so that one person would become two, and rightly so; consent whose
        answer is lost is held.
        """
        held_back = self.kinds & {"holds", "pauses", "versions", "rotation", "consent"}
        return 1.0 if "spellings" in self.kinds and held_back else 0.3

    def person(self, number: int) -> dict[str, str]:
        return {
            "email": f"p{number}@mapleandember.example",
            "phone_number": f"+4420794600{number:02d}",
            "external_id": f"S-{number}",
        }

    def action(self, do: str) -> Action:
        chance = self.chance
        after = round(chance.choice([0.0, 0.05, 0.5, 3.0]) * chance.random(), 3)
        workflow = chance.choice(list(VERSIONS))
        match do:
            case "take":
                most = chance.choice([1, 3, 12, self.burst])
                count = chance.randint(1, most)
                what: dict[str, Any] = {"records": [self.record() for _ in range(count)]}
            case "fault":
                what = self.fault()
            case "crash":
                last = chance.choice(["missing", "torn", "whole"])
                what = {"commits": chance.randint(1, 12), "last": last, "torn_at": chance.random()}
            case "full":
                what = {n: chance.randint(1, most) for n, most in (("commits", 8), ("count", 3), ("jobs", 4))}
            case "clock":
                what = {"seconds": chance.choice([-7200.0, -30.0, -2.0, 5.0, 60.0, 3600.0])}
            case "members":
                who = [self.person(n)["email"] for n in range(self.people) if chance.random() < 0.5]
                what = {"segment": chance.choice(["VIP", "Regulars"]), "emails": who}
            case "remove" | "restore":
                what = {"list": chance.choice(LISTS)}
            case "hold" | "release":
                steps = [step["id"] for step in VERSIONS[workflow][0]]
                what = {"workflow": workflow, "step": chance.choice(steps)}
            case "version":
                unsent = chance.choice(["replan", "replan", "keep"])
                number = chance.randrange(len(VERSIONS[workflow]))
                what = {"workflow": workflow, "version": number, "unsent": unsent}
            case "rename":
                names = chance.sample(["Points", "Score", "Visit"], 2)
                what = {"from": names[0], "to": names[1]}
            case _:
                what = {"workflow": workflow}
        return Action(after, do, what)

    def record(self) -> dict[str, Any]:
        chance = self.chance
        self.records += 1
        who = self.person(chance.randrange(self.people))
        events = EVENTS if "consent" in self.kinds else EVENTS[:5]
        event = chance.choice(events)
        if "spellings" in self.kinds:
            who = self.spelled(who, event)
        data = {**who, "n": self.records, "name": chance.choice(["Ada", "Bo"]), "tier": "gold"}
        time = "2026-11-23T08:00:00Z"
        return {"id": f"r{self.records}", "event": event, "time": time, "data": data}

    def spelled(self, who: dict[str, str], event: str) -> dict[str, str]:
        """Names a person by some identifiers only, and an e-mail in another case."""
        chance = self.chance
        names = [name for name in who if chance.random() < 0.6] or [chance.choice(list(who))]
        if event == "leave":
            names = names[:1]  # which profile is meant by two that belong to two is nobody's to say
        if event in ("news", "quit") and "email" not in names:
            names.append("email")
        found = {name: who[name] for name in who if name in names}
        if "email" in found and chance.random() < 0.3:
            found["email"] = found["email"].replace("p", "P", 1)
        return found

    def fault(self) -> dict[str, Any]:
        chance = self.chance
        how: dict[str, Any] = chance.choice(
            [
                {"status": 503},
                {"status": 500, "after": True},
                {"status": 429, "retry_after": chance.choice([1, 3, 20])},
                {"reset": True},
                {"lost": True},
                {"delay": chance.choice([0.5, 4.0, 40.0])},
                {"status": 403, "body": "html"},
            ]
        )
        found = {"endpoint": chance.choice(FAULTED), "times": chance.choice([1, 1, 2, 6]), **how}
        share = random.Random(f"cut {self.seed} {self.records}").random()
        if "lost" in found and share < CUT_SHARE:
            del found["lost"]
            found["cut"] = share / CUT_SHARE
        return found
