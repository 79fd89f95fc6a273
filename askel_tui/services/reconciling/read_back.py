"""Reads from the account what fields hold now, under the names of the dry run's changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from askel_tui.contract.calls import Call
from askel_tui.core.operations import Identity, Operation
from askel_tui.core.requests.differences import is_same

if TYPE_CHECKING:
    from askel_tui.klaviyo.client import Client
    from askel_tui.klaviyo.reads.profiles import ProfileRead


@dataclass(frozen=True, slots=True)
class ExpectedField:
    """A field of a profile as a record is to have left it."""

    record: str
    profile: Identity
    field: str
    """The field, as the dry run names it: `first_name`, `properties.Tier`, `list NAME`, `consent email`."""
    value: Any
    list_id: str | None = None

    @property
    def key(self) -> tuple[tuple[str, ...], str]:
        """The profile and the field: later records write over earlier ones."""
        return self.profile.keys()[:1], self.list_id or self.field

    def is_held(self, now: Any) -> bool:
        """Checks whether the account holds the value, in Klaviyo's own form or ours."""
        return is_same(self.field, self.value, now) or (self.list_id is not None and now == self.value)


def expected_fields(record: str, operation: Operation, profile: Identity) -> list[ExpectedField]:
    """Lists what an operation that was carried out is to have left; `profile` is the one that its request named."""
    body, target = operation.body, operation.destination
    listed = [] if target is None or target.type != "list" else [(f"list {target.name}", target.id)]
    match operation.call:
        case Call.CREATE_OR_UPDATE_PROFILE:
            values: dict[str, Any] = {**profile.identifiers(), **body["attributes"]}
            values |= {f"properties.{name}": value for name, value in body["properties"].items()}
            values |= {f"properties.{name}": None for name in body["unset"]}
            return [ExpectedField(record, profile, name, value) for name, value in values.items()]
        case Call.ADD_PROFILES_TO_LIST | Call.REMOVE_PROFILES_FROM_LIST:
            joins = operation.call == Call.ADD_PROFILES_TO_LIST
            return [ExpectedField(record, profile, name, joins, ident) for name, ident in listed]
        case Call.BULK_SUBSCRIBE_PROFILES | Call.BULK_UNSUBSCRIBE_PROFILES:
            joins = operation.call == Call.BULK_SUBSCRIBE_PROFILES
            word = "SUBSCRIBED" if joins else "UNSUBSCRIBED"
            # Leaving a list leaves the consent elsewhere as it is.
            channels = body["channels"] if joins or not listed else ()
            consent = [ExpectedField(record, profile, f"consent {name}", word) for name in channels]
            return consent + [ExpectedField(record, profile, name, joins, ident) for name, ident in listed]
    return []


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The profiles as the account holds them now."""

    profiles: Mapping[Identity, ProfileRead | None]
    lists: Mapping[tuple[str, Identity], bool]

    def exists(self, expected: ExpectedField) -> bool:
        """Checks whether the account has the profile."""
        return self.profiles[expected.profile] is not None

    def profile_key(self, identity: Identity) -> str:
        """Names the profile that an identity stands for, by the account's id where it has the profile: two spellings
        of one person are one profile."""
        read = self.profiles[identity]
        return read.id if read is not None else identity.keys()[0]

    def last_written(self, expected: Iterable[ExpectedField]) -> list[ExpectedField]:
        """Leaves out the fields that a later one wrote over; `expected` are in the order of their records."""
        last = {(self.profile_key(each.profile), each.list_id or each.field): each for each in expected}
        return list(last.values())

    def updated(self, expected: ExpectedField) -> int:
        """Returns when the profile was changed last, in milliseconds since 1970; 0 where that is not shown."""
        read = self.profiles[expected.profile]
        shown = None if read is None else read.attributes.get("updated")
        try:
            return int(datetime.fromisoformat(str(shown)).timestamp() * 1000)
        except ValueError:
            return 0

    def value(self, expected: ExpectedField) -> Any:
        """Returns what the field holds; None where the account has no such profile or value."""
        from askel_tui.klaviyo.reads.profiles import consent_of

        read = self.profiles[expected.profile]
        if expected.list_id is not None:
            return self.lists[expected.list_id, expected.profile]
        if read is None:
            return None
        kind, _, channel = expected.field.partition(" ")
        if kind == "consent":
            return consent_of(read.attributes).get(channel)
        group, _, name = expected.field.partition(".")
        if group in ("properties", "location") and name:
            return (read.attributes.get(group) or {}).get(name)
        return read.attributes.get(expected.field)


async def read_back(
    client: Client, expected: Sequence[ExpectedField], more: Iterable[Identity] = ()
) -> ReadBack:
    """Reads the profiles, lists and consent of fields, 100 profiles a call, and `more` profiles. Raises
    `KlaviyoError`."""
    from askel_tui.klaviyo.reads.profiles import find_profiles, members_of_list

    wanted = list(dict.fromkeys([*(each.profile for each in expected), *more]))
    consent = any(each.field.startswith("consent ") for each in expected)
    profiles = await find_profiles(client, wanted, additional_fields=["subscriptions"] if consent else ())
    lists: dict[tuple[str, Identity], bool] = {}
    # A later record may have given the profile another e-mail: the list is asked for what the account shows.
    shown = {each: read.identity if read is not None else each for each, read in profiles.items()}
    for list_id in dict.fromkeys(each.list_id for each in expected if each.list_id is not None):
        named = list(dict.fromkeys(each.profile for each in expected if each.list_id == list_id))
        members = await members_of_list(client, list_id, list(dict.fromkeys(shown[each] for each in named)))
        lists |= {(list_id, each): members[shown[each]] for each in named}
    return ReadBack(profiles, lists)
