"""The causes of holds: for each one what ends the hold, and the words for it. Notices, screens and metrics read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Policy = Literal["hold", "warn"]


class Cause(StrEnum):
    """The cause of a hold. The journal and the JSON of the command line hold these words."""

    KEY_REFUSED = "key_refused"
    OTHER_ACCOUNT = "other_account"
    SCOPE_MISSING = "scope_missing"
    TARGET_GONE = "target_gone"
    MADE_ANEW = "made_anew"
    LIST_RENAMED = "list_renamed"
    SEGMENT_REDEFINED = "segment_redefined"
    SEGMENT_INACTIVE = "segment_inactive"
    FLOW_NOT_LIVE = "flow_not_live"
    FLOW_ARCHIVED = "flow_archived"
    TRIGGER_MOVED = "trigger_moved"
    METRIC_GONE = "metric_gone"
    PROPERTY_RENAMED = "property_renamed"
    PROPERTY_VANISHED = "property_vanished"
    IN_DOUBT = "in_doubt"
    GATE_UNREADABLE = "gate_unreadable"
    CONSENT_UNREADABLE = "consent_unreadable"
    PERSON = "person"
    OUTAGE = "outage"
    LIMIT = "limit"
    REVISION = "revision"
    RETIRED = "retired"
    UNMATCHED = "unmatched"
    OTHER_IDENTITY = "other_identity"


@dataclass(frozen=True, slots=True)
class HoldReason:
    """A cause for which a step is held, with its detail for people."""

    cause: str
    detail: str


@dataclass(frozen=True, slots=True)
class HoldCause:
    """The properties of a cause: its words, and what ends a hold for it."""

    description: str
    """The end of a sentence in notices that says why the step is held."""
    short: str
    """A short form of the cause, for a column of 22 cells."""
    remedy: str = ""
    """The remedy, for notices: what a person does, in one sentence; `{connection}` stands for the connection's name."""
    ends_by_itself: bool = False
    """True if the hold ends once the cause is gone, with nothing to decide; else a person releases it."""
    is_drift: bool = False
    """True if the account checker finds this cause, and finds when it is over."""
    policy: Policy = "hold"
    """The policy of an account check that finds this cause: a cause that would write wrong data holds, any other
    warns."""
    klaviyo_refuses: bool = False
    """True if Klaviyo refuses what is sent in spite of this cause, so that a release is no decision to go on."""
    is_about_key: bool = False
    """True if the cause may be gone with another key."""
    needs_replan: bool = False
    """True if neither plan of what waits may be sent, so that no release ends the hold."""
    is_probed: bool = False
    """True if an operation is sent from time to time, to find whether the cause is gone."""

    @property
    def is_account_change(self) -> bool:
        """True if a list, segment, flow, metric or property is gone or changed in the account."""
        return self.is_drift and not self.is_about_key

    @property
    def is_passing(self) -> bool:
        """True if a hold for this cause ends by itself as often as it comes."""
        return self.is_about_key or self.is_probed


_NEW_KEY = "Give the connection a key that fits, `askel rotate {connection}`: then it goes on by itself."
_BACK = "Once it is back under the same id, it goes on by itself."
_WAIT = "There is nothing to do: it goes on by itself as soon as Klaviyo does what it is asked."
_LIVE = "Once the flow is live again, it goes on by itself."
_DECIDE = (
    "Once it is as it was, it goes on by itself. Else somebody has to decide: apply a repaired workflow, and "
    "`askel workflow activate NAME --replan` plans what waits anew; releasing sends it as it was planned, "
    "`askel hold discard` gives it up."
)


def _about_key(description: str, short: str) -> HoldCause:
    return HoldCause(
        description,
        short,
        _NEW_KEY,
        ends_by_itself=True,
        is_drift=True,
        klaviyo_refuses=True,
        is_about_key=True,
    )


def _to_decide(description: str, short: str) -> HoldCause:
    return HoldCause(description, short, _DECIDE, ends_by_itself=True, is_drift=True)


def _flow_off(description: str, short: str) -> HoldCause:
    return HoldCause(description, short, _LIVE, ends_by_itself=True, is_drift=True)


HOLD_CAUSES: Mapping[str, HoldCause] = {
    Cause.KEY_REFUSED: _about_key("the key is refused", "the key is refused"),
    Cause.OTHER_ACCOUNT: _about_key("the key belongs to another account", "the key is another account's"),
    Cause.SCOPE_MISSING: _about_key("the key lacks a scope", "a scope is missing"),
    Cause.TARGET_GONE: HoldCause(
        "what the step names is gone from the account",
        "gone from the account",
        _BACK,
        ends_by_itself=True,
        is_drift=True,
        klaviyo_refuses=True,
    ),
    Cause.MADE_ANEW: _to_decide(
        "what the step names is gone, and something else was given its name", "gone, and made anew"
    ),
    Cause.LIST_RENAMED: _to_decide("the list was renamed", "the list was renamed"),
    Cause.SEGMENT_REDEFINED: _to_decide("the segment has another definition", "the segment was redefined"),
    Cause.SEGMENT_INACTIVE: HoldCause(
        "the segment was switched off", "the segment is off", is_drift=True, policy="warn"
    ),
    Cause.FLOW_NOT_LIVE: _flow_off("the flow is not live", "the flow is not live"),
    Cause.FLOW_ARCHIVED: _flow_off("the flow was archived", "the flow was archived"),
    Cause.TRIGGER_MOVED: _to_decide("something else fires the flow", "the flow's trigger moved"),
    Cause.METRIC_GONE: HoldCause(
        "the metric that fires the flow is gone",
        "the metric is gone",
        ends_by_itself=True,
        is_drift=True,
        policy="warn",
    ),
    Cause.PROPERTY_RENAMED: _to_decide("the property was renamed", "a property was renamed"),
    Cause.PROPERTY_VANISHED: _to_decide("the property vanished", "a property vanished"),
    Cause.IN_DOUBT: HoldCause(
        "a consent write whose fate is unknown waits for a person", "in doubt: a person decides"
    ),
    Cause.GATE_UNREADABLE: HoldCause(
        "the segment cannot be read", "the segment can't be read", _WAIT, ends_by_itself=True, is_probed=True
    ),
    Cause.CONSENT_UNREADABLE: HoldCause(
        "whether people have opted out cannot be read",
        "opt-outs can't be read",
        _WAIT,
        ends_by_itself=True,
        is_probed=True,
    ),
    Cause.PERSON: HoldCause("a person holds it", "held by a person"),
    Cause.OUTAGE: HoldCause(
        "what Klaviyo was asked kept going wrong",
        "Klaviyo keeps failing",
        _WAIT,
        ends_by_itself=True,
        is_probed=True,
    ),
    Cause.LIMIT: HoldCause(
        "Klaviyo asked to wait for long",
        "Klaviyo asks to wait",
        "There is nothing to do: it goes on by itself after that time.",
        ends_by_itself=True,
        is_probed=True,
    ),
    Cause.REVISION: HoldCause(
        "the account does not know this call at the pinned revision", "unknown at this revision"
    ),
    Cause.RETIRED: HoldCause(
        "Klaviyo has retired the pinned revision",
        "the revision is retired",
        "Move the connection to a newer one: `askel revision rehearse {connection}` shows what changes, "
        "`askel revision move {connection}` moves it with all that waits, and it goes on by itself.",
        ends_by_itself=True,
        klaviyo_refuses=True,
        is_probed=True,
    ),
    Cause.UNMATCHED: HoldCause(
        "the new version refuses its records",
        "refused by the new version",
        "Somebody has to decide: `askel hold replan WORKFLOW --close-unmatched` closes what waits, a repaired version "
        "may take it up.",
        needs_replan=True,
    ),
    Cause.OTHER_IDENTITY: HoldCause(
        "the new version names other profiles",
        "names another profile",
        "Somebody has to decide: `askel hold replan WORKFLOW --accept-identity` plans what waits for the profiles that "
        "the new version names, `askel hold discard` gives it up.",
        needs_replan=True,
    ),
}

KEY_CAUSES = frozenset(name for name, cause in HOLD_CAUSES.items() if cause.is_about_key)
"""The causes that may be gone with another key."""


def hold_cause(name: str) -> HoldCause:
    """Returns the cause of a name. A name of another version of Askel stands for itself."""
    return HOLD_CAUSES.get(name) or HoldCause(name, name)
