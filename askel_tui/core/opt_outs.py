"""Opt-outs: who must not be subscribed again, and which proof of consent is newer. Pure.

They are what Klaviyo shows of a profile (docs/klaviyo.md 2.13, 6): consent that was withdrawn on a channel, and
suppressions of its e-mail address, from everything or from a list. A proof counts where it is later than all that
concern a subscription. What can't be told counts against it: an opt-out without a time, equal times, a proof that lies
in the future.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.operations import Operation, fold_email
from askel_tui.text.quoting import quote

CHANNEL_NAMES = {"email": "email", "sms": "sms", "whatsapp": "whatsapp", "mobile_push": "push"}
"""The channels' names in a response, and the names that workflows use for them."""

CLOCK_SKEW_MS = 5 * 60_000
"""The time by which a proof may seem to lie in the future: the clocks of a product and of this machine differ."""

MAX_OWN_OPT_OUTS = 10_000
"""The number of people whose own opt-outs are remembered."""

_CONSENTED = ("SUBSCRIBED", "NEVER_SUBSCRIBED")
_UNDELIVERABLE = ("HARD_BOUNCE", "INVALID_EMAIL")
"""The suppressions that subscribing does not lift (docs/klaviyo.md 6)."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """A withdrawal of consent on a channel, or a suppression. `at` is None where Klaviyo does not say when."""

    channel: str
    reason: str
    """Klaviyo's word: the state of the consent, or the reason of the suppression."""
    at: str | None
    list_id: str | None = None
    """The list that it is about; None where it is about all marketing of the channel."""

    @property
    def is_lifted(self) -> bool:
        """True if subscribing ends it."""
        return self.reason not in _UNDELIVERABLE

    def describe(self) -> str:
        """Describes it for people."""
        where = f"{self.channel}: " + ("on this list " if self.list_id else "")
        when = "at a time that Klaviyo does not say" if self.at is None else f"at {quote(self.at)}"
        if self.reason.startswith("UNSUBSCRIBE"):
            return f"{where}unsubscribed {when}"
        return f"{where}suppressed ({quote(self.reason)}) {when}"


OptOuts = Mapping[str, Sequence[OptOut] | None]
"""The opt-outs of a profile by channel; None where they can't be read. A channel that is missing has none."""


def opt_outs_of(attributes: Mapping[str, Any]) -> dict[str, Sequence[OptOut] | None]:
    """Reads the opt-outs from a profile's attributes that were read with `subscriptions`."""
    subscriptions = attributes.get("subscriptions")
    shown = subscriptions if isinstance(subscriptions, dict) else {}
    return {
        ours: _of_channel(ours, shown[theirs]) if theirs in shown else None
        for theirs, ours in CHANNEL_NAMES.items()
    }


def join_opt_outs(profiles: Sequence[OptOuts]) -> OptOuts:
    """Joins the opt-outs of the profiles that have a person's identifiers: those of any count."""
    if len(profiles) < 2:
        return profiles[0] if profiles else {}
    joined: dict[str, Sequence[OptOut] | None] = {}
    for channel in CHANNEL_NAMES.values():
        parts = [each.get(channel, ()) for each in profiles]
        joined[channel] = None if None in parts else [one for part in parts for one in part or ()]
    return joined


def concerning(operation: Operation, opt_outs: OptOuts) -> list[OptOut]:
    """Lists the opt-outs that a subscription concerns: those of its channels, of everything or of its list."""
    destination = operation.destination
    listed = (None, destination.id if destination else None)
    return [
        each
        for channel in operation.body["channels"]
        for each in opt_outs.get(channel) or ()
        if each.list_id in listed
    ]


def lifted_by(operation: Operation, opt_outs: OptOuts) -> list[OptOut]:
    """Lists the opt-outs that a subscription ends, once it is carried out."""
    return [each for each in concerning(operation, opt_outs) if each.is_lifted]


def find_refusals(operation: Operation, opt_outs: OptOuts, now: int) -> dict[str, str]:
    """Finds the channels on which a subscription is refused, and why. `now` is in milliseconds since 1970."""
    proof: str | None = operation.body["proof"]
    refused: dict[str, str] = {}
    for each in concerning(operation, opt_outs):
        reason = _refusal(each, proof, now)
        if reason is not None and each.channel not in refused:
            refused[each.channel] = f"{each.describe()}, {reason}"
    return refused


class OwnOptOuts:
    """The opt-outs that were sent from here, and that the account may not show yet."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], dict[str | None, int]] = {}
        """When consent was withdrawn, in milliseconds since 1970, by channel and identifier, and by list."""

    def note(self, operation: Operation, at: int) -> None:
        """Notes a consent write that was sent: one that withdraws consent, or one that ends that."""
        destination = operation.destination
        list_id = destination.id if destination else None
        for key in _keys(operation):
            if operation.call == Call.BULK_SUBSCRIBE_PROFILES:
                sent = self._sent.get(key, {})
                sent.pop(None, None)
                sent.pop(list_id, None)
            elif list_id is None or key[0] == "email":
                # Klaviyo has lists of their own opt-outs for e-mail only.
                self._sent.setdefault(key, {})[list_id] = at
        while len(self._sent) > MAX_OWN_OPT_OUTS:
            del self._sent[next(iter(self._sent))]

    def find(self, operation: Operation, since: int = 0) -> OptOuts:
        """Finds those of the person that an operation is about, not older than `since`."""
        return {
            key[0]: [
                OptOut(key[0], "UNSUBSCRIBED", datetime.fromtimestamp(at / 1000, UTC).isoformat(), list_id)
                for list_id, at in self._sent.get(key, {}).items()
                if at >= since
            ]
            for key in _keys(operation)
        }


def _keys(operation: Operation) -> list[tuple[str, str]]:
    identifiers = operation.profile.identifiers()
    if "email" in identifiers:
        identifiers["email"] = fold_email(identifiers["email"])
    needed = ((channel, CHANNEL_IDENTIFIER[channel]) for channel in operation.body["channels"])
    return [(channel, identifiers[name]) for channel, name in needed if name in identifiers]


def parse_time(text: object) -> datetime | None:
    """Parses a time of RFC 3339; one without an offset is UTC. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _refusal(opt_out: OptOut, proof: str | None, now: int) -> str | None:
    """Says why a proof of consent does not stand against an opt-out; None where it does."""
    agreed, left = parse_time(proof), parse_time(opt_out.at)
    if proof is None or agreed is None:
        return "and nothing proves newer consent"
    if left is None:
        return f"so the consent of {quote(proof)} can't be known to be newer"
    if agreed.timestamp() * 1000 > now + CLOCK_SKEW_MS:
        return f"and the consent of {quote(proof)} would lie in the future"
    # A time in whole seconds may be any of that second.
    compared = agreed if left.microsecond else agreed.replace(microsecond=0)
    return None if compared > left else f"and the consent of {quote(proof)} is not newer"


def _of_channel(channel: str, shown: object) -> Sequence[OptOut] | None:
    marketing = shown.get("marketing") if isinstance(shown, dict) else shown
    if marketing is None:
        return ()
    if not isinstance(marketing, dict) or not isinstance(marketing.get("consent"), str):
        return None
    found: list[OptOut] = []
    for name in ("suppression", "list_suppressions"):
        entries = marketing.get(name)
        if not isinstance(entries, list | None):
            return None
        for entry in entries or ():
            given = entry if isinstance(entry, dict) else {}
            listed = given.get("list_id") if name == "list_suppressions" else None
            found.append(
                OptOut(
                    channel,
                    str(given.get("reason") or "SUPPRESSED"),
                    _known_time(given.get("timestamp")),
                    listed if isinstance(listed, str) else None,
                )
            )
    if marketing["consent"] not in _CONSENTED:
        found.insert(0, OptOut(channel, marketing["consent"], _withdrawn(channel, marketing, found)))
    return found


def _withdrawn(channel: str, marketing: Mapping[str, Any], suppressions: Sequence[OptOut]) -> str | None:
    """Finds when consent was withdrawn.

    `consent_timestamp` alone may be of the consent before; push has nothing else.
    """
    changed = _known_time(marketing.get("last_updated"))
    if changed is None and channel != "push":
        globally = [each.at for each in suppressions if each.list_id is None and each.at is not None]
        return max(globally, key=_instant, default=None)
    times = [each for each in (changed, _known_time(marketing.get("consent_timestamp"))) if each is not None]
    return max(times, key=_instant, default=None)


def _known_time(text: object) -> str | None:
    return text if isinstance(text, str) and parse_time(text) is not None else None


def _instant(text: str) -> datetime:
    return parse_time(text) or datetime.max.replace(tzinfo=UTC)
