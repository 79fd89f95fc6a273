"""The drift findings that are known: each is noted once, holds once, and not again once a person released it knowingly.

The audit keeps them: a `drift` entry for a finding, `drift_over` when a later check no longer found it. A finding
that held its step, which is held no longer, was released by a person: holds that end by themselves end when the
finding is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from askel_tui.core.drift.findings import Finding
from askel_tui.core.hold_causes import HOLD_CAUSES, Cause
from askel_tui.store.journal.interface import Journal
from askel_tui.store.journal.notice_rows import WarningNotice
from askel_tui.store.journal.rows import AuditEntry, AuditFilter, Decision, Hold
from askel_tui.store.journal.tables.holds.releasing import OWN_ACTOR
from askel_tui.sync.account_checks.pins import VersionedStep

log = logging.getLogger(__name__)

FOUND_KIND, OVER_KIND = "drift", "drift_over"
"""The kinds of audit entries."""


class KnownFindings:
    """The findings that stand, by step and evidence, with whether the step was held for them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._findings_by_step: dict[VersionedStep, dict[str, dict[str, Any]]] | None = None
        self._released: set[tuple[VersionedStep, str]] = set()
        """The findings in spite of which a person released the step."""
        self._ordered_releases: set[VersionedStep] = set()
        """The steps whose hold was to end by itself, while no new one was placed."""

    async def explain(self, hold: Hold, findings: Sequence[Finding]) -> bool:
        """Checks whether a hold was placed for one of the findings."""
        of_step = (await self._load()).get(hold.key, {})
        return any(of_step.get(each.evidence, {}).get("held") for each in findings)

    async def note_held(self, hold: Hold, finding: Finding, now: int) -> None:
        """Notes that the hold of a step is for this finding by now."""
        await self._note_finding(hold, finding, True, now)

    async def lost_properties(self, step: VersionedStep) -> dict[str, str | None]:
        """Returns the findings about lost properties of a step, by evidence: the property, where it is known."""
        of_step = (await self._load()).get(step, {})
        about_properties = (Cause.PROPERTY_RENAMED, Cause.PROPERTY_VANISHED)
        return {
            evidence: known.get("property")
            for evidence, known in of_step.items()
            if known["cause"] in about_properties
        }

    def note_release_ordered(self, step: VersionedStep) -> None:
        """Notes that the hold of a step ends by itself: that it is held no longer is nobody's decision then."""
        self._ordered_releases.add(step)

    def is_known(self, step: VersionedStep, finding: Finding) -> bool:
        """Checks whether the finding was noted before."""
        return finding.evidence in (self._findings_by_step or {}).get(step, {})

    async def handle_finding(
        self, wanted: Hold, finding: Finding, hold: Hold | None, incidents: Collection[str], now: int
    ) -> bool:
        """Acts on a finding. Returns True where the step must not send.

        `wanted` is the hold that it makes, `hold` the step's present one; `incidents` are those that hold steps.
        """
        step = wanted.key
        known = (await self._load()).get(step, {}).get(finding.evidence)
        if finding.policy == "warn":
            if known is None:
                quiet = wanted.incident in incidents
                await self._note_finding(wanted, finding, False, now, warn=not quiet)
            return False
        if (
            known is not None
            and hold is None
            and known["held"]
            and step not in self._ordered_releases
            and not HOLD_CAUSES[finding.cause].klaviyo_refuses
        ):
            self._released.add((step, finding.evidence))
        if (step, finding.evidence) in self._released:
            return False
        ours = hold is not None and (hold.cause, hold.detail) == (finding.cause, finding.detail)
        if not ours:
            # The hold first: a crash in between leaves it placed, and the finding is noted at the next check.
            ours = await self._journal.add_hold(wanted, now)
            if ours:
                self._ordered_releases.discard(step)
                log.warning("%s step %s is held: %s", step[0], step[2], finding.detail)
        if known is None or (ours and not known["held"]):
            await self._note_finding(wanted, finding, ours, now)
        return True

    async def note_gone(
        self, connection: str, step: VersionedStep, standing: Collection[str], now: int
    ) -> None:
        """Notes which findings of a step are gone; `standing` is the evidence of those that are not."""
        of_step = (await self._load()).get(step, {})
        for evidence in [each for each in of_step if each not in standing]:
            known = of_step.pop(evidence)
            self._released.discard((step, evidence))
            workflow, version, name = step
            detail = {"evidence": evidence, "cause": known["cause"], "version": version}
            decision = Decision(OVER_KIND, "askel", connection, workflow, name, detail)
            if known["policy"] == "warn" and not await self._is_known_elsewhere(known.get("incident")):
                notice = WarningNotice("over", connection, workflow, name, known["cause"], known["detail"])
                await self._journal.add_notice(notice, decision, now)
            else:
                await self._journal.write_decision(decision, now)

    def keep_only(self, workflows: Collection[str]) -> None:
        """Forgets the findings of all workflows but `workflows`: the others were deleted."""
        if self._findings_by_step is not None:
            self._findings_by_step = {
                step: known for step, known in self._findings_by_step.items() if step[0] in workflows
            }
            self._released = {each for each in self._released if each[0][0] in workflows}

    async def _note_finding(
        self, hold: Hold, finding: Finding, held: bool, now: int, *, warn: bool = False
    ) -> None:
        connection, (workflow, version, name) = hold.connection, hold.key
        detail = {
            "version": version,
            "cause": finding.cause,
            "detail": finding.detail,
            "evidence": finding.evidence,
            "policy": finding.policy,
            "held": held,
            "property": finding.property,
            "incident": hold.incident,
        }
        decision = Decision(FOUND_KIND, "askel", connection, workflow, name, detail)
        if warn and not await self._is_known_elsewhere(hold.incident):
            notice = WarningNotice("warning", connection, workflow, name, finding.cause, finding.detail)
            await self._journal.add_notice(notice, decision, now)
        else:
            await self._journal.write_decision(decision, now)
        (await self._load()).setdefault(hold.key, {})[finding.evidence] = detail

    async def _is_known_elsewhere(self, incident: str | None) -> bool:
        """Checks whether a step has a finding of this incident already: it is announced once."""
        of_steps = (await self._load()).values()
        return bool(incident) and any(
            known.get("incident") == incident for of_step in of_steps for known in of_step.values()
        )

    async def _load(self) -> dict[VersionedStep, dict[str, dict[str, Any]]]:
        if self._findings_by_step is None:
            entries = [
                each
                for kind in (FOUND_KIND, OVER_KIND, "release", "delete")
                for each in await self._read_entries(kind)
            ]
            active = {state.workflow: state.version for state in await self._journal.workflow_states()}
            known: dict[VersionedStep, dict[str, dict[str, Any]]] = {}
            for entry in sorted(entries, key=lambda each: each.position):
                if entry.kind == "delete":
                    known = {step: each for step, each in known.items() if step[0] != entry.workflow}
                    continue
                detail = (entry.response or {}).get("detail") or {}
                if entry.kind == "release" and entry.actor != OWN_ACTOR:
                    continue
                workflow = entry.workflow or ""
                # Entries of 0.1.0 name no version: only the active one was checked.
                version = detail.get("version", active.get(workflow, 0))
                of_step = known.setdefault((workflow, version, entry.step or ""), {})
                if entry.kind == "release":
                    # It ended by itself: what stands again is held again.
                    for each in of_step.values():
                        each["held"] = False
                elif entry.kind == FOUND_KIND:
                    of_step[detail["evidence"]] = dict(detail)
                else:
                    of_step.pop(detail["evidence"], None)
            self._findings_by_step = known
        return self._findings_by_step

    async def _read_entries(self, kind: str) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        while True:
            after = found[-1].position if found else 0
            part = await self._journal.audit_entries(AuditFilter(kind=kind), after=after)
            if not part:
                return found
            found += part
