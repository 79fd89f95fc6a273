"""Compares what a run left behind with what ought to have happened; each difference is a sentence."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from askel_tui.core.operations import operation_id
from askel_tui.store.journal.rows import AuditEntry
from tests.simulator.reference import Reference
from tests.simulator.run import Ending
from tests.simulator.story import Story, person_of
from tests.simulator.workflows import (
    CONNECTION,
    IDENTIFIERS,
    TRIGGERS,
    VERSIONS,
    Step,
    identifiers_of,
)

ENDS = {"written", "unconfirmed", "failed", "skipped", "passed"}
"""The words of the audit for the end of an operation; what is discarded was planned anew, or is not done any more."""

FITTING: dict[str, set[str]] = {
    "done": {"written", "unconfirmed", "skipped"},
    "nothing": {"skipped", "written", "unconfirmed"},
    "passed": {"passed"},
    "stopped": {"skipped"},
    "failed": {"failed"},
}
"""The words that fit what ought to have become of a step.

A state write that later ones wrote over may be skipped; what had nothing to do may find something where it was held
back. What the account holds in the end says whether that was right.
"""

CLOSED_REASON = "the new version no longer does it"
"""The audit's words for a step that re-planning closed."""

ON_THE_WIRE_MS = 3_000
"""The time within which what is on the wire is answered, where nothing goes wrong."""

Key = tuple[str, str, str]
"""Workflow, record and step."""


def differences(story: Story, ending: Ending) -> list[str]:
    """Finds everything that is not as it ought to be."""
    found = list(_of_the_run(ending))
    if ending.ended is not None:
        return found
    ends = _ends(ending)
    reference = _execute(story, ending, ends)
    found += _of_the_versions(story, ending, ends)
    return [*found, *_of_the_account(ending, reference), *_of_the_audit(ending, ends, reference)]


def _of_the_versions(story: Story, ending: Ending, ends: Mapping[Key, list[AuditEntry]]) -> Iterator[str]:
    """Finds what an older version sent though it was to be planned anew."""
    if {"faults", "crashes", "clock", "bulk"} & {*story.kinds}:
        return  # what is in doubt, and an import job that runs, stay under their version
    for workflow, version, unsent, at in ending.switches:
        for (of, record, step), entries in ends.items():
            for entry in entries if of == workflow and unsent == "replan" else ():
                late = entry.at > at + ON_THE_WIRE_MS and entry.request is not None
                if late and 0 < _version(ending, workflow, record, step, [entry]) < version:
                    yield f"{workflow} {record} {step}: sent under an older version after {version} was activated"


def _of_the_run(ending: Ending) -> Iterator[str]:
    if ending.ended is not None:
        yield f"the run did not end: {ending.ended}"
    if ending.broken is not None:
        yield f"the audit's chain is broken at {ending.broken}"
    if ending.self_made_429s:
        yield f"{ending.self_made_429s} requests were refused for the rate"
    for hold in ending.holds:
        yield f"{hold.workflow} {hold.step} is held at the end: {hold.cause}, {hold.detail}"


def _execute(story: Story, ending: Ending, ends: Mapping[Key, list[AuditEntry]]) -> Reference:
    answers = {key: entries[-1].status == "passed" for key, entries in ends.items()}
    reference = Reference(story.known, answers, ending.renames, _done_at(ending, ends))
    closed = _closed(ending, ends)
    for record in ending.records:
        for workflow in VERSIONS:
            reference.execute(record, workflow, _steps(ending, ends, closed, workflow, record["id"]))
    for person in reference.people:
        reference.rename_properties(person, None)
    return reference


def _done_at(ending: Ending, ends: Mapping[Key, list[AuditEntry]]) -> dict[Key, int]:
    """Finds when steps were done; one that was held back counts as done when the person's next record was at the
    latest, which it was not to write over."""
    keys_of: dict[str, list[Key]] = defaultdict(list)
    for key in ends:
        keys_of[key[1]].append(key)
    latest: dict[str, int] = {}
    found: dict[Key, int] = {}
    for record in reversed(ending.records):
        person = person_of(record["data"])
        for key in keys_of[record["id"]]:
            found[key] = min(ends[key][-1].at, latest.get(person, ends[key][-1].at))
        for key in keys_of[record["id"]]:
            latest[person] = min(found[key], latest.get(person, found[key]))
    return found


def _steps(
    ending: Ending, ends: Mapping[Key, list[AuditEntry]], closed: set[Key], workflow: str, record: str
) -> list[Step]:
    """Finds what was planned of a record: the newest of its versions, but for what was done under older ones."""
    applied = [VERSIONS[workflow][number] for number in ending.versions[workflow]]
    version_of = {
        step["id"]: _version(
            ending, workflow, record, step["id"], ends.get((workflow, record, step["id"]), [])
        )
        for steps in applied
        for step in steps
    }
    newest = max(version_of.values()) or 1
    older = [
        step
        for number, steps in enumerate(applied[: newest - 1], 1)
        for step in steps
        if version_of[step["id"]] == number
    ]
    done = {step["id"] for step in older}
    steps = [*older, *(step for step in applied[newest - 1] if step["id"] not in done)]
    return [step for step in steps if (workflow, record, step["id"]) not in closed]


def _closed(ending: Ending, ends: Mapping[Key, list[AuditEntry]]) -> set[Key]:
    """Finds the steps that a newer version no longer does, where the rest of the record was on the wire already."""
    found = {
        (entry.workflow or "", entry.record or "", entry.step or "")
        for entry in ending.entries
        if entry.status == "discarded" and (entry.response or {}).get("detail") == CLOSED_REASON
    }
    return found - ends.keys()


def _version(ending: Ending, workflow: str, record: str, step: str, entries: Sequence[AuditEntry]) -> int:
    """Finds the version under which a step was done last, which its operation's id names; 0 where it was not.

    What is written again, since an older record wrote over it, has an id of another kind.
    """
    ids = _planned_ids(ending, workflow, record, step)
    return next((ids[e.operation] for e in reversed(entries) if e.operation in ids), 0)


def _planned_ids(ending: Ending, workflow: str, record: str, step: str) -> dict[str | None, int]:
    """Returns the versions by the ids that their operations of a step have."""
    versions = range(1, len(ending.versions[workflow]) + 1)
    return {operation_id(CONNECTION, workflow, each, record, step): each for each in versions}


def _ends(ending: Ending) -> dict[Key, list[AuditEntry]]:
    """Finds the entries that end each step of each record; upserts of bare identifiers come before their step."""
    ends: dict[Key, list[AuditEntry]] = defaultdict(list)
    for entry in ending.entries:
        if entry.operation is None or entry.status not in ENDS or "entry" in (entry.response or {}):
            continue
        ends[entry.workflow or "", entry.record or "", entry.step or ""].append(entry)
    return ends


def _of_the_audit(
    ending: Ending, ends: Mapping[Key, list[AuditEntry]], reference: Reference
) -> Iterator[str]:
    for key, outcome in reference.outcomes.items():
        entries = ends.get(key, [])
        if not entries:
            yield f"{' '.join(key)}: no entry, but it ought to be {outcome}"
            continue
        if entries[-1].status not in FITTING[outcome]:
            why = (entries[-1].response or {}).get("detail")
            yield f"{' '.join(key)}: {entries[-1].status} ({why}), but it ought to be {outcome}"
        done = Counter(entry.operation for entry in entries if entry.status != "failed")
        twice = [each for each in _planned_ids(ending, *key) if done[each] > 1]
        if twice:
            yield f"{' '.join(key)}: {len(entries)} entries end it"
    for key in ends.keys() - reference.outcomes.keys():
        yield f"{' '.join(key)}: {ends[key][-1].status}, but it ought not to be tried"


def _of_the_account(ending: Ending, reference: Reference) -> Iterator[str]:
    expected = {_name(each): each for each in (person.shown() for person in reference.people)}
    parts = _parts(ending)
    found = {_name(each): each for each in _people(ending.state)}
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"{name} is not in the account"
        elif name not in expected:
            yield f"{name} is in the account, and ought not to be: {json.dumps(found[name])}"
        else:
            in_parts = (
                len({parts[each] for each in _keys(expected[name]["identifiers"]) if each in parts}) > 1
            )
            for field, value in expected[name].items():
                if in_parts and field not in ("identifiers", "events"):
                    continue  # Nothing ever linked what records named: their order is nobody's to know.
                if found[name][field] != value and not _is_moot(field, expected[name], found[name]):
                    yield f"{name}: {field} is {found[name][field]}, but it ought to be {value}"


def _parts(ending: Ending) -> dict[str, str]:
    """Finds the identifiers that records named, and by which of them each is linked: together in a record, or on one
    profile in an answer."""
    toward: dict[str, str] = {}

    def first(key: str) -> str:
        while toward[key] != key:
            key = toward[key]
        return key

    for record in ending.records:
        for workflow in VERSIONS:
            if record["event"] in TRIGGERS[workflow]:
                named = {name: record["data"].get(name) for name in identifiers_of(workflow)}
                _link(toward, _keys(named), first)
    for shown in ending.shown:
        _link(toward, [key for key in _keys(shown) if key in toward], first)
    return {key: first(key) for key in toward}


def _link(toward: dict[str, str], keys: Sequence[str], first: Callable[[str], str]) -> None:
    for key in keys:
        toward.setdefault(key, key)
        toward[first(key)] = first(keys[0])


def _keys(named: Mapping[str, str | None]) -> list[str]:
    return [f"{name} {value.lower()}" for name, value in named.items() if value]


def _is_moot(field: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Checks whether consent differs only in how somebody came not to be on the list.

    A subscribe that was held while the person left is not sent: that leaves no trace of a consent taken back.
    """
    return field in ("consent", "left") and wanted["left"] == ["Newsletter"] and found["consent"] is None


def _people(state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Reads the account's profiles in the reference's form."""
    lists = {each["id"]: each["name"] for each in state["lists"]}
    events: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for event in state["events"]:
        events[event["profile"]].append((event["metric"], event["properties"]["N"]))
    for profile in state["profiles"]:
        yield {
            "identifiers": {name: profile[name] for name in sorted(IDENTIFIERS) if profile.get(name)},
            "first_name": profile.get("first_name"),
            "properties": dict(sorted(profile["properties"].items())),
            "lists": sorted(profile["lists"]),
            "consent": profile["consent"].get("email.marketing"),
            "left": sorted(lists[each["list_id"]] for each in profile["list_suppressions"]),
            "events": sorted(events[profile["id"]]),
        }


def _name(person: Mapping[str, Any]) -> str:
    return " ".join(person["identifiers"].values())
