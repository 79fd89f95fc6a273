"""What drift is known: told once, held once, and not held again for what a person released knowingly.

The memory is the audit: `drift` when something was found, `drift_over` when a later look no longer found it. A
finding that was held and whose step is held no longer was released by a person: holds that end by themselves end
when the finding is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from askel_tui.core.drift import CAUSES, Finding
from askel_tui.store.journal import AuditEntry, AuditFilter, Decision, Hold, Journal, Notice

FOUND, OVER = "drift", "drift_over"
"""Kinds of audit entries."""

Step = tuple[str, str]
"""Workflow and step."""


class KnownDrift:
    """The findings that stand, by step and evidence: whether the step was held for it, and what was told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[Step, dict[str, dict[str, Any]]] | None = None

    def is_known(self, step: Step, finding: Finding) -> bool:
        """Whether the finding was noted before."""
        return finding.evidence in (self._known or {}).get(step, {})

    async def found(self, connection: str, step: Step, finding: Finding, hold: Hold | None, now: int) -> bool:
        """Acts on a finding; `hold` is what holds the step already. True where the step must not send."""
        of_step = (await self._load()).setdefault(step, {})
        known = of_step.get(finding.evidence)
        if finding.policy == "warn":
            if known is None:
                await self._note(connection, step, finding, False, now, warn=True)
            return False
        if hold is not None:
            ours = (hold.cause, hold.detail) == (finding.cause, finding.detail)
            if known is None or (ours and not known["held"]):
                await self._note(connection, step, finding, ours, now)
            return True
        if known is not None and known["held"] and not CAUSES[finding.cause].refusable:
            return False
        # The hold first: a crash in between leaves it placed, and the finding is noted at the next look.
        wanted = Hold(connection, *step, finding.cause, finding.detail, now)
        placed = await self._journal.place_hold(wanted, now)
        await self._note(connection, step, finding, placed, now)
        return True

    async def gone(self, connection: str, step: Step, found: Collection[str], now: int) -> None:
        """Notes which findings of a step are no longer so; `found` is the evidence that still stands."""
        of_step = (await self._load()).get(step, {})
        for evidence in [each for each in of_step if each not in found]:
            known = of_step.pop(evidence)
            decision = Decision(
                OVER, "askel", connection, *step, {"evidence": evidence, "cause": known["cause"]}
            )
            if known["policy"] == "warn":
                notice = Notice("over", connection, *step, known["cause"], known["detail"])
                await self._journal.note(notice, decision, now)
            else:
                await self._journal.decide(decision, now)

    async def _note(
        self, connection: str, step: Step, finding: Finding, held: bool, now: int, *, warn: bool = False
    ) -> None:
        detail = {
            "cause": finding.cause,
            "detail": finding.detail,
            "evidence": finding.evidence,
            "policy": finding.policy,
            "held": held,
        }
        decision = Decision(FOUND, "askel", connection, *step, detail)
        if warn:
            notice = Notice("warning", connection, *step, finding.cause, finding.detail)
            await self._journal.note(notice, decision, now)
        else:
            await self._journal.decide(decision, now)
        (await self._load()).setdefault(step, {})[finding.evidence] = detail

    async def _load(self) -> dict[Step, dict[str, dict[str, Any]]]:
        if self._known is None:
            entries = [*await self._entries(FOUND), *await self._entries(OVER)]
            known: dict[Step, dict[str, dict[str, Any]]] = {}
            for entry in sorted(entries, key=lambda each: each.seq):
                detail = (entry.response or {}).get("detail") or {}
                of_step = known.setdefault((entry.workflow or "", entry.step or ""), {})
                if entry.kind == FOUND:
                    of_step[detail["evidence"]] = detail
                else:
                    of_step.pop(detail["evidence"], None)
            self._known = known
        return self._known

    async def _entries(self, kind: str) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        while True:
            after = found[-1].seq if found else 0
            part = await self._journal.audit(AuditFilter(kind=kind), after=after)
            if not part:
                return found
            found += part
