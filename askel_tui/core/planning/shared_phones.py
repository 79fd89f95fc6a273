"""Decides what becomes of an operation whose phone number another person's profile has. Pure: dry run and live call it.

Klaviyo finds the profile of a write by any of its identifiers (docs/klaviyo.md 3.1). Where two people share a number,
the one who is written later would take the other's profile over, address and external id included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from askel_tui.contract.calls import Call
from askel_tui.contract.dialects import CHANNEL_IDENTIFIER
from askel_tui.core.addressing import CONSENT_CALLS
from askel_tui.core.operations import Identity, Operation, fold_email
from askel_tui.core.problems import SHARED_PHONE_KIND
from askel_tui.core.workflows.model import OnSharedPhone

GIVES_PHONE = frozenset(
    {
        Call.CREATE_OR_UPDATE_PROFILE,
        Call.CREATE_EVENT,
        Call.BULK_SUBSCRIBE_PROFILES,
        Call.ADD_PROFILES_TO_LIST,
    }
)
"""Calls that give a profile the phone number of their operation."""


@dataclass(frozen=True, slots=True)
class PhoneDecision:
    """The operation that is to be sent, or None and why it is not: it fails, or is skipped."""

    operation: Operation | None
    warning: tuple[str, str] | None = None
    """The kind and the sentence of a warning about what is sent."""
    failure: str | None = None
    skip: str | None = None


def has_checkable_phone(identity: Identity) -> bool:
    """Checks whether an identity names a phone number beside another identifier, so that it may be another's."""
    return identity.phone_number is not None and not (identity.email is None and identity.external_id is None)


def is_anothers(identity: Identity, owner: Identity) -> bool:
    """Checks whether the profile that has a phone number is another person's than the one who is named with it.

    It is where the e-mails differ, or, where one of them names none, the external ids. The same external id with
    another e-mail is a changed address.
    """
    ids = identity.external_id, owner.external_id
    if None not in ids and ids[0] == ids[1]:
        return False
    if identity.email is not None and owner.email is not None:
        return fold_email(identity.email) != fold_email(owner.email)
    return None not in ids


def decide_phone(
    operation: Operation, owner: Identity | None, policy: OnSharedPhone, *, names_owner: bool = False
) -> PhoneDecision:
    """Decides about the phone number of an operation; `owner` are the identifiers of the profile that has it.

    Sentences name the owner only with `names_owner`: what the audit keeps of one person names no other.
    """
    identity = operation.profile
    if owner is None or not has_checkable_phone(identity) or not is_anothers(identity, owner):
        return PhoneDecision(operation)
    phone = identity.phone_number
    who = owner.email or owner.external_id if names_owner else "another profile"
    if policy == "fail":
        return PhoneDecision(None, failure=f"the phone number {phone} belongs to {who}")
    if policy == "go_on" and operation.call not in GIVES_PHONE:
        return PhoneDecision(operation)
    if policy == "go_on":
        sentence = f"the phone number {phone} belonged to {who}: this write takes it over"
        return PhoneDecision(operation, (SHARED_PHONE_KIND, sentence))
    sentence = f"the phone number {phone} belongs to {who}: it is left out"
    left = replace(operation, profile=replace(identity, phone_number=None))
    if operation.call in CONSENT_CALLS:
        channels = [name for name in operation.body["channels"] if CHANNEL_IDENTIFIER[name] != "phone_number"]
        if not channels:
            return PhoneDecision(None, (SHARED_PHONE_KIND, sentence), skip=sentence)
        left = replace(left, body={**operation.body, "channels": channels})
    return PhoneDecision(left, (SHARED_PHONE_KIND, sentence))


class PhoneOwners:
    """Who has which phone number, while operations are decided about one after another."""

    def __init__(self, known: Mapping[str, Identity], *, names_owner: bool = False) -> None:
        self._owners = dict(known)
        self._names_owner = names_owner
        self.changed: dict[str, Identity] = {}
        """The owners that are to be remembered."""

    def add_read(self, owners: Iterable[Identity]) -> None:
        """Adds what the account says of numbers that were not met before."""
        for each in owners:
            if each.phone_number is not None:
                self._set(each.phone_number, _folded(each.email, each.phone_number, each.external_id))

    def knows(self, phone: str) -> bool:
        """Checks whether it is known who has a number."""
        return phone in self._owners

    def decide(self, operation: Operation, policy: OnSharedPhone) -> PhoneDecision:
        """Decides about an operation's phone number; whom it is written to has it afterwards."""
        identity, phone = operation.profile, operation.profile.phone_number
        if phone is None or not has_checkable_phone(identity):
            return PhoneDecision(operation)
        owner = self._owners.get(phone)
        if owner is not None and owner == _folded(identity.email, phone, identity.external_id):
            # The operations of a record are decided about one after another: who has the number is known by the first.
            return PhoneDecision(operation)
        decision = decide_phone(operation, owner, policy, names_owner=self._names_owner)
        if decision.operation is operation and operation.call in GIVES_PHONE:
            before = owner if owner is not None and not is_anothers(identity, owner) else Identity()
            email = identity.email or before.email
            self._set(phone, _folded(email, phone, identity.external_id or before.external_id))
        return decision

    def _set(self, phone: str, owner: Identity) -> None:
        if self._owners.get(phone) != owner:
            self._owners[phone] = self.changed[phone] = owner


def _folded(email: str | None, phone: str, external_id: str | None) -> Identity:
    return Identity(email and fold_email(email), phone, external_id)
