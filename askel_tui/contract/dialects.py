"""Dialects: the request bodies of one revision. Pure.

A body is valid at its revision and at those that serve it once it is retired (docs/klaviyo.md 0.3). One call cannot
be both: unsubscribing takes no `subscriptions` at 2024-02-15, and needs them since 2025-01-15. They are sent.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from askel_tui.contract import bodies
from askel_tui.contract.bodies import Inexpressible
from askel_tui.contract.calls import Call
from askel_tui.contract.caps import standard_attributes
from askel_tui.contract.endpoints import endpoint
from askel_tui.contract.revisions import REVISIONS, Ability, can

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from askel_tui.contract.bodies import Body

__all__ = ["CHANNEL_IDENTIFIER", "Dialect", "Inexpressible", "dialect"]

CHANNEL_IDENTIFIER: Mapping[str, str] = MappingProxyType(
    {"email": "email", "sms": "phone_number", "whatsapp": "phone_number", "push": "email"}
)
"""The identifier that a consent channel needs in the same profile object (docs/klaviyo.md 3.3)."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@cache
def dialect(revision: str) -> Dialect:
    """Returns the dialect of a revision. Raises `LookupError` for one that the contract data does not hold."""
    if revision not in REVISIONS:
        raise LookupError(f"No dialect is known for revision {revision}; known are {', '.join(REVISIONS)}.")
    return Dialect(revision)


class Dialect:
    """Builds the request bodies of one revision as plain dicts.

    Methods raise `Inexpressible` for what the revision has no field for. Bodies hold the values they are given,
    uncopied below the first level: do not change those afterwards.
    """

    __slots__ = (
        "_attributes",
        "has_backfill",
        "has_historical_consent",
        "revision",
        "subscribe_channels",
        "unsubscribe_channels",
    )

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.has_backfill = can(revision, Ability.EVENT_BACKFILL)
        """True if an event may say that it must not fire flows."""
        self.has_historical_consent = can(revision, Ability.HISTORICAL_CONSENT)
        """True if consent may be dated: `historical_import`."""
        further = (("whatsapp", Ability.WHATSAPP_CONSENT), ("push", Ability.PUSH_CONSENT))
        self.subscribe_channels = ("email", "sms", *(name for name, needs in further if can(revision, needs)))
        """The channels that a profile can be subscribed to."""
        self.unsubscribe_channels = self.subscribe_channels[:3]
        """The channels that a profile can be unsubscribed from. Push needs device tokens, which Askel does not hold."""
        top = {name for name in standard_attributes(revision) if "." not in name}
        self._attributes = frozenset(top | {"location"})

    def __repr__(self) -> str:
        return f"Dialect({self.revision!r})"

    def profile_import(
        self,
        identifiers: Mapping[str, str],
        attributes: Mapping[str, Any] = _NOTHING,
        properties: Mapping[str, Any] = _NOTHING,
        unset: Sequence[str] = (),
    ) -> Body:
        """Builds the body of a `create_or_update_profile` call: null clears an attribute, `unset` removes properties
        (docs/klaviyo.md 3.2).

        `attributes` are nested as Klaviyo has them (`{"location": {"city": …}}`).
        """
        return {"data": self._profile(identifiers, attributes, properties, unset)}

    def import_item(
        self,
        identifiers: Mapping[str, str],
        attributes: Mapping[str, Any] = _NOTHING,
        properties: Mapping[str, Any] = _NOTHING,
    ) -> Body:
        """Builds one profile of a `bulk_import` body, which cannot clear an attribute (docs/klaviyo.md 3.2)."""
        location = attributes.get("location") or _NOTHING
        if None in attributes.values() or None in location.values():
            raise Inexpressible(
                "Bulk import cannot clear an attribute with null; send the profile by itself."
            )
        return self._profile(identifiers, attributes, properties)

    def bulk_import(self, profiles: Sequence[Body], list_id: str | None = None) -> Body:
        """Builds the body of a `bulk_import_profiles` call from items of `import_item`, which all join the list if
        one is given."""
        data: Body = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": list(profiles)}},
        }
        if list_id is not None:
            data["relationships"] = {"lists": {"data": [{"type": "list", "id": list_id}]}}
        return {"data": data}

    def merge(self, destination: str, source: str) -> Body:
        """Builds the body of a `merge_profiles` call: the profile `source` becomes part of `destination`
        (docs/klaviyo.md 2.5)."""
        profiles = {"data": [{"type": "profile", "id": source}]}
        return {"data": {"type": "profile-merge", "id": destination, "relationships": {"profiles": profiles}}}

    def list_members(self, profile_ids: Sequence[str]) -> Body:
        """Builds the body of an `add_profiles_to_list` or `remove_profiles_from_list` call."""
        return {"data": [{"type": "profile", "id": one} for one in profile_ids]}

    def event(
        self,
        identifiers: Mapping[str, str],
        metric: str,
        properties: Mapping[str, Any],
        time: str,
        unique_id: str,
        value: float | None = None,
        value_currency: str | None = None,
        backfill: bool = False,
        unset: Sequence[str] = (),
    ) -> Body:
        """Builds the body of a `create_event` call (docs/klaviyo.md 2.11). `time` is RFC 3339; `unset` removes
        properties of the profile."""
        attributes = self._event(metric, properties, time, unique_id, value, value_currency, backfill)
        who = self._profile(identifiers, unset=unset)
        has_meta_outside = can(self.revision, Ability.EVENT_PROFILE_META)
        attributes["profile"] = {"data": who if has_meta_outside else bodies.with_meta_inside(who)}
        return {"data": {"type": "event", "attributes": attributes}}

    def event_item(
        self,
        metric: str,
        properties: Mapping[str, Any],
        time: str,
        unique_id: str,
        value: float | None = None,
        value_currency: str | None = None,
        backfill: bool = False,
    ) -> Body:
        """Builds one event of an `event_group`."""
        attributes = self._event(metric, properties, time, unique_id, value, value_currency, backfill)
        return {"type": "event", "attributes": attributes}

    def event_group(
        self, identifiers: Mapping[str, str], events: Sequence[Body], unset: Sequence[str] = ()
    ) -> Body:
        """Builds one profile with its events (from `event_item`) for `bulk_events` (docs/klaviyo.md 2.12)."""
        who = self._profile(identifiers, unset=unset)
        attributes: Body = {"profile": {"data": who}, "events": {"data": list(events)}}
        return {"type": "event-bulk-create", "attributes": attributes}

    def bulk_events(self, groups: Sequence[Body]) -> Body:
        """Builds the body of a `bulk_create_events` call from groups of `event_group`.

        Raises `NotInRevision` where the revision lacks the call.
        """
        endpoint(self.revision, Call.BULK_CREATE_EVENTS)
        attributes = {"events-bulk-create": {"data": list(groups)}}
        return {"data": {"type": "event-bulk-create-job", "attributes": attributes}}

    def subscribe_item(
        self,
        identifiers: Mapping[str, str],
        channels: Sequence[str],
        consented_at: Mapping[str, str] = _NOTHING,
    ) -> Body:
        """Builds one profile of a `subscribe` body.

        `consented_at` gives times by channel, for historical consent only. Identifiers other than e-mail and phone
        number are left out: the call takes none (docs/klaviyo.md 3.1).
        """
        if consented_at and not self.has_historical_consent:
            raise Inexpressible(f"Consent cannot be dated at revision {self.revision}.")
        subscriptions: Body = {}
        for channel in self._checked(channels, self.subscribe_channels, identifiers):
            marketing = {"consent": "SUBSCRIBED"}
            if channel in consented_at:
                marketing["consented_at"] = consented_at[channel]
            subscriptions[channel] = {"marketing": marketing}
        return bodies.consent_profile(identifiers, subscriptions)

    def subscribe(
        self,
        profiles: Sequence[Body],
        list_id: str | None = None,
        custom_source: str | None = None,
        historical: bool = False,
    ) -> Body:
        """Builds the body of a `bulk_subscribe_profiles` call from items of `subscribe_item`.

        `historical` skips double opt-in and needs a `consented_at` on every channel; without it none may
        have one (docs/klaviyo.md 6).
        """
        if historical and not self.has_historical_consent:
            raise Inexpressible(f"Historical consent cannot be imported at revision {self.revision}.")
        for profile in profiles if self.has_historical_consent else ():
            for consent in profile["attributes"]["subscriptions"].values():
                if ("consented_at" in consent["marketing"]) != historical:
                    raise Inexpressible("Consent is dated exactly when it is historical, on every channel.")
        attributes: Body = {"profiles": {"data": list(profiles)}}
        if custom_source is not None:
            attributes["custom_source"] = custom_source
        if historical:
            attributes["historical_import"] = True
        return bodies.consent_job("profile-subscription-bulk-create-job", attributes, list_id)

    def unsubscribe_item(self, identifiers: Mapping[str, str], channels: Sequence[str]) -> Body:
        """Builds one profile of an `unsubscribe` body; identifiers other than e-mail and phone number are left out."""
        wanted = self._checked(channels, self.unsubscribe_channels, identifiers)
        subscriptions = {channel: {"marketing": {"consent": "UNSUBSCRIBED"}} for channel in wanted}
        return bodies.consent_profile(identifiers, subscriptions)

    def unsubscribe(self, profiles: Sequence[Body], list_id: str | None = None) -> Body:
        """Builds the body of a `bulk_unsubscribe_profiles` call from items of `unsubscribe_item`.

        A profile that is not in the given list is unsubscribed from everything (docs/klaviyo.md 6).
        """
        attributes: Body = {"profiles": {"data": list(profiles)}}
        return bodies.consent_job("profile-subscription-bulk-delete-job", attributes, list_id)

    def _profile(
        self,
        identifiers: Mapping[str, str],
        attributes: Mapping[str, Any] = _NOTHING,
        properties: Mapping[str, Any] = _NOTHING,
        unset: Sequence[str] = (),
    ) -> Body:
        if not attributes.keys() <= self._attributes:
            names = ", ".join(sorted(attributes.keys() - self._attributes))
            raise Inexpressible(f"{names}: no profile attribute at revision {self.revision}.")
        return bodies.profile(identifiers, attributes, properties, unset)

    def _event(
        self,
        metric: str,
        properties: Mapping[str, Any],
        time: str,
        unique_id: str,
        value: float | None,
        value_currency: str | None,
        backfill: bool,
    ) -> Body:
        if backfill and not self.has_backfill:
            raise Inexpressible(f"Events of revision {self.revision} cannot be kept from firing flows.")
        return bodies.event(metric, properties, time, unique_id, value, value_currency, backfill)

    def _checked(
        self, channels: Sequence[str], known: Sequence[str], identifiers: Mapping[str, str]
    ) -> Sequence[str]:
        if not channels:
            raise Inexpressible("Consent needs at least one channel.")
        for channel in channels:
            if channel not in known:
                raise Inexpressible(f"Revision {self.revision} has no consent for {channel!r} here.")
            if CHANNEL_IDENTIFIER[channel] not in identifiers:
                raise Inexpressible(
                    f"Consent for {channel} needs the profile's {CHANNEL_IDENTIFIER[channel]}."
                )
        return channels
